// A block of the matrix product of bytes by AVX2, which has no instruction that sums such products in 32
// bits.
//
// vpmaddubsw multiplies bytes with weights and sums two products in 16 bits; two of its results are added
// before they are widened. So that no sum of four overflows, rows are quantised in fewer steps where the
// weights are large: in 62 at least.
#pragma once

#include "core/weights.hpp"
#include "simd/simd.hpp"

namespace rerank {
namespace {

// Steps of a quantised row. One is kept free: a rounded zero point can push the greatest value up by one.
inline float row_steps(const Product& product) {
    const int32_t most = 32767 / product.largest_four - 1;
    return static_cast<float>(most < 255 ? most : 255);
}

RERANK_INLINE Ints broadcast_four(const uint8_t* bytes) {
    int four;
    __builtin_memcpy(&four, bytes, sizeof four);
    return _mm256_set1_epi32(four);
}

// Products of bytes with the weights of eight columns and four rows, in sums of two.
RERANK_INLINE Ints multiply_pairs(Ints bytes, const int8_t* weights) {
    return _mm256_maddubs_epi16(bytes, _mm256_load_si256(reinterpret_cast<const Ints*>(weights)));
}

RERANK_INLINE Ints add_pairs(Ints sums, Ints pairs) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// Sums of one panel and kWide columns. All additions are of whole numbers, so their order is free.
template <int Rows>
RERANK_INLINE void multiply_block(const uint8_t* left, const Product& product, int64_t column,
                                  Ints (&sums)[Rows][2]) {
    // Weights lie in steps of four rows and kBlockN columns; so far ahead they are fetched.
    constexpr int kStep = 4 * kBlockN;
    constexpr int kAhead = 16 * kStep;
    const int64_t inside = column % kBlockN;
    const int8_t* weights = product.packed + (column - inside) * product.k + inside * 4;
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row)
        sums[row][0] = sums[row][1] = _mm256_setzero_si256();
    for (const uint8_t* end = left + product.k * Rows; left != end; left += Rows * kBlockK) {
#pragma GCC unroll 2
        for (int step = 0; step < kBlockK; step += 8, weights += 2 * kStep) {
            _mm_prefetch(reinterpret_cast<const char*>(weights + kAhead), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(weights + kAhead + kStep), _MM_HINT_T0);
#pragma GCC unroll 8
            for (int row = 0; row < Rows; ++row) {
                const Ints first = broadcast_four(left + row * kBlockK + step);
                const Ints second = broadcast_four(left + row * kBlockK + step + 4);
#pragma GCC unroll 2
                for (int half = 0; half < 2; ++half) {
                    const int8_t* columns = weights + 32 * half;
                    const Ints four = _mm256_add_epi16(multiply_pairs(first, columns),
                                                       multiply_pairs(second, columns + kStep));
                    sums[row][half] = add_pairs(sums[row][half], four);
                }
                RERANK_PIN(sums[row][0], sums[row][1]);
            }
        }
    }
}

}  // namespace
}  // namespace rerank
