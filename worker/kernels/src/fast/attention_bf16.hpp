// Attention in bf16 with sums in float: two products for each multiplication of a float.
#pragma once

#include "fast/attention.hpp"

namespace rerank {
namespace {

struct Bf16Kind {
    using Element = uint16_t;
    static constexpr int64_t kInDword = 2;
    static constexpr int64_t kSteps = 16;  // dwords of 32 columns
    static constexpr bool kPacksValues = true;

    // Weights are rounded to eight bits, so the coarse power is exact enough.
    static RERANK_INLINE Floats power(Floats x) { return exp2_coarse(x); }

    static RERANK_INLINE void store(Element* to, Floats first, Floats second) {
        _mm512_storeu_si512(to, as_ints(_mm512_cvtne2ps_pbh(second, first)));
    }

    // Of up to 32 keys, 32 columns: to[column / 2][32 keys] of two neighbouring columns each. Missing keys
    // are zero.
    static void pack_keys(const Element* from, int64_t count, uint32_t* to) {
        for (int half = 0; half < 2; ++half) {
            Ints rows[16];
            for (int row = 0; row < 16; ++row) {
                const int key = half * 16 + row;
                rows[row] = key < count ? _mm512_loadu_si512(from + key * kWide) : _mm512_setzero_si512();
            }
            transpose(rows, to + half * 16, kWide);
        }
    }

    // Two neighbouring tokens share a dword: to[token / 2][32 columns].
    static void pack_values(const Element* from, int64_t count, uint32_t* to) {
        const Ints low = interleaving(0);
        const Ints high = interleaving(16);
        for (int64_t token = 0; token < count; token += 2, to += kWide) {
            const Ints first = _mm512_loadu_si512(from + token * kWide);
            const Ints second =
                token + 1 < count ? _mm512_loadu_si512(from + (token + 1) * kWide) : _mm512_setzero_si512();
            _mm512_store_si512(to, _mm512_permutex2var_epi16(first, low, second));
            _mm512_store_si512(to + 16, _mm512_permutex2var_epi16(first, high, second));
        }
    }

    template <int Rows>
    static RERANK_INLINE void dot(const Element* queries, const uint32_t* keys, Floats (&sums)[Rows][2]) {
        for (int step = 0; step < kSteps; ++step, keys += kWide) {
            accumulate<Rows>(queries + 2 * step, keys, sums);
        }
    }

    template <int Rows>
    static RERANK_INLINE void mix(const Element* weights, const void* packed, int64_t length,
                                  Floats (&sums)[Rows][2]) {
        const uint32_t* values = static_cast<const uint32_t*>(packed);
        for (int64_t left = (length + 1) / 2; left > 0; left -= kSteps, weights += Rows * kWide) {
            const int steps = left < kSteps ? static_cast<int>(left) : static_cast<int>(kSteps);
            for (int step = 0; step < steps; ++step, values += kWide) {
                accumulate<Rows>(weights + 2 * step, values, sums);
            }
        }
    }

  private:
    static RERANK_INLINE Ints as_ints(__m512bh v) {
        Ints ints;
        __builtin_memcpy(&ints, &v, sizeof ints);
        return ints;
    }
    static RERANK_INLINE __m512bh as_bf16(Ints v) {
        __m512bh pairs;
        __builtin_memcpy(&pairs, &v, sizeof pairs);
        return pairs;
    }

    // sums[row] += left[row][pair of elements] * right[32 lanes of pairs]
    template <int Rows>
    static RERANK_INLINE void accumulate(const Element* left, const uint32_t* right,
                                         Floats (&sums)[Rows][2]) {
        const __m512bh first = as_bf16(_mm512_load_si512(right));
        const __m512bh second = as_bf16(_mm512_load_si512(right + 16));
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
            int two;
            __builtin_memcpy(&two, left + row * kWide, sizeof two);
            const __m512bh pair = as_bf16(_mm512_set1_epi32(two));
            sums[row][0] = _mm512_dpbf16_ps(sums[row][0], pair, first);
            sums[row][1] = _mm512_dpbf16_ps(sums[row][1], pair, second);
            RERANK_PIN(sums[row][0], sums[row][1]);
        }
    }

    // Takes elements first, first + 1, ... of two vectors by turns.
    static Ints interleaving(int first) {
        alignas(64) uint16_t places[32];
        for (int i = 0; i < 16; ++i) {
            places[2 * i] = static_cast<uint16_t>(first + i);
            places[2 * i + 1] = static_cast<uint16_t>(32 + first + i);
        }
        return _mm512_load_si512(places);
    }
};

}  // namespace
}  // namespace rerank
