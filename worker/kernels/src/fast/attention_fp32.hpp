// Attention in floats, for CPUs that don't multiply bf16.
#pragma once

#include "fast/attention.hpp"

namespace rerank {
namespace {

struct Fp32Kind {
    using Element = float;
    static constexpr int64_t kInDword = 1;
    static constexpr int64_t kSteps = kWide;
    static constexpr bool kPacksValues = false;

    static RERANK_INLINE Floats power(Floats x) { return exp2_fine(x); }

    static RERANK_INLINE void store(Element* to, Floats first, Floats second) {
        store_unaligned(to, first);
        store_unaligned(to + kLanes, second);
    }

    // Of up to kWide keys, kWide columns: to[column][kWide keys]. Missing keys are zero.
    static void pack_keys(const Element* from, int64_t count, uint32_t* to) {
        for (int part = 0; part < 4; ++part) {
            const int first_key = part % 2 * kLanes;
            const int first_column = part / 2 * kLanes;
            Ints rows[kLanes];
            for (int row = 0; row < kLanes; ++row) {
                const int key = first_key + row;
                rows[row] = key < count ? load_bits(from + key * kWide + first_column) : no_bits();
            }
            transpose(rows, to + first_column * kWide + first_key, kWide);
        }
    }

    // Values already lie as `mix` reads them: [token][kWide columns].
    static void pack_values(const Element*, int64_t, uint32_t*) {}

    template <int Rows>
    static RERANK_INLINE void dot(const Element* queries, const uint32_t* keys, Floats (&sums)[Rows][2]) {
        const float* columns = reinterpret_cast<const float*>(keys);
        for (int step = 0; step < kSteps; ++step, columns += kWide)
            accumulate<Rows>(queries + step, columns, sums);
    }

    template <int Rows>
    static RERANK_INLINE void mix(const Element* weights, const void* tokens, int64_t length,
                                  Floats (&sums)[Rows][2]) {
        const float* values = static_cast<const float*>(tokens);
        for (int64_t left = length; left > 0; left -= kSteps, weights += Rows * kWide) {
            const int steps = left < kSteps ? static_cast<int>(left) : static_cast<int>(kSteps);
            for (int step = 0; step < steps; ++step, values += kWide)
                accumulate<Rows>(weights + step, values, sums);
        }
    }

  private:
    // sums[row] += left[row] * right[kWide]
    template <int Rows>
    static RERANK_INLINE void accumulate(const Element* left, const float* right, Floats (&sums)[Rows][2]) {
        const Floats first = load(right);
        const Floats second = load(right + kLanes);
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
            const Floats one = broadcast(left[row * kWide]);
            sums[row][0] = multiply_add(one, first, sums[row][0]);
            sums[row][1] = multiply_add(one, second, sums[row][1]);
            RERANK_PIN(sums[row][0], sums[row][1]);
        }
    }
};

}  // namespace
}  // namespace rerank
