// Attention in floats, for CPUs that don't multiply bf16.
#pragma once

#include "avx512/attention.hpp"

namespace rerank {
namespace {

struct Fp32Kind {
    using Element = float;
    static constexpr int64_t kInDword = 1;
    static constexpr int64_t kSteps = 32;
    static constexpr bool kPacksValues = false;

    static RERANK_INLINE Floats power(Floats x) { return exp2_fine(x); }

    static RERANK_INLINE void store(Element* to, Floats first, Floats second) {
        _mm512_storeu_ps(to, first);
        _mm512_storeu_ps(to + 16, second);
    }

    // Of up to 32 keys, 32 columns: to[column][32 keys]. Missing keys are zero.
    static void pack_keys(const Element* from, int64_t count, uint32_t* to) {
        for (int part = 0; part < 4; ++part) {
            const int first_key = part % 2 * 16;
            const int first_column = part / 2 * 16;
            Ints rows[16];
            for (int row = 0; row < 16; ++row) {
                const int key = first_key + row;
                rows[row] = key < count ? _mm512_loadu_si512(from + key * kKeys + first_column)
                                        : _mm512_setzero_si512();
            }
            transpose(rows, to + first_column * kKeys + first_key, kKeys);
        }
    }

    // Values already lie as `mix` reads them: [token][32 columns].
    static void pack_values(const Element*, int64_t, uint32_t*) {}

    template <int Rows>
    static RERANK_INLINE void dot(const Element* queries, const uint32_t* keys, Floats (&sums)[Rows][2]) {
        const float* columns = reinterpret_cast<const float*>(keys);
        for (int step = 0; step < kSteps; ++step, columns += kKeys)
            accumulate<Rows>(queries + step, columns, sums);
    }

    template <int Rows>
    static RERANK_INLINE void mix(const Element* weights, const void* tokens, int64_t length,
                                  Floats (&sums)[Rows][2]) {
        const float* values = static_cast<const float*>(tokens);
        for (int64_t left = length; left > 0; left -= kSteps, weights += Rows * kKeys) {
            const int steps = left < kSteps ? static_cast<int>(left) : static_cast<int>(kSteps);
            for (int step = 0; step < steps; ++step, values += kKeys)
                accumulate<Rows>(weights + step, values, sums);
        }
    }

  private:
    // sums[row] += left[row] * right[32 lanes]
    template <int Rows>
    static RERANK_INLINE void accumulate(const Element* left, const float* right, Floats (&sums)[Rows][2]) {
        const Floats first = _mm512_load_ps(right);
        const Floats second = _mm512_load_ps(right + 16);
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
            const Floats one = _mm512_set1_ps(left[row * kKeys]);
            sums[row][0] = _mm512_fmadd_ps(one, first, sums[row][0]);
            sums[row][1] = _mm512_fmadd_ps(one, second, sums[row][1]);
            RERANK_PIN(sums[row][0], sums[row][1]);
        }
    }
};

}  // namespace
}  // namespace rerank
