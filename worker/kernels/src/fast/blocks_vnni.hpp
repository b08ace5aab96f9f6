// A block of the matrix product of bytes by AVX-512 VNNI: one instruction multiplies and adds four bytes a
// lane.
#pragma once

#include "core/weights.hpp"
#include "simd/simd.hpp"

namespace rerank {
namespace {

// Steps of a quantised row: all that a byte has.
constexpr float row_steps(const Product&) {
    return 255.0f;
}

// Sums of one panel and kWide columns. All additions are of whole numbers, so their order is free.
template <int Rows>
RERANK_INLINE void multiply_block(const uint8_t* left, const Product& product, int64_t column,
                                  Ints (&sums)[Rows][2]) {
    const int8_t* weights = product.packed + column * product.k;
    // So far ahead the weights are fetched: the lines of 16 steps.
    constexpr int kAhead = 2048;
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row)
        sums[row][0] = sums[row][1] = _mm512_setzero_si512();
    for (const uint8_t* end = left + product.k * Rows; left != end; left += Rows * kBlockK) {
#pragma GCC unroll 4
        for (int step = 0; step < kBlockK; step += 4) {
            const Ints first = _mm512_load_si512(weights);
            const Ints second = _mm512_load_si512(weights + 64);
            _mm_prefetch(reinterpret_cast<const char*>(weights + kAhead), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(weights + kAhead + 64), _MM_HINT_T0);
            weights += 128;
#pragma GCC unroll 16
            for (int row = 0; row < Rows; ++row) {
                int four;
                __builtin_memcpy(&four, left + row * kBlockK + step, sizeof four);
                const Ints bytes = _mm512_set1_epi32(four);
                sums[row][0] = _mm512_dpbusd_epi32(sums[row][0], bytes, first);
                sums[row][1] = _mm512_dpbusd_epi32(sums[row][1], bytes, second);
                RERANK_PIN(sums[row][0], sums[row][1]);
            }
        }
    }
}

}  // namespace
}  // namespace rerank
