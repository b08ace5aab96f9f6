// The matrix product of bytes: a panel of rows times all columns, 32 at a time.
#pragma once

#include "avx512/quantise.hpp"
#include "core/weights.hpp"

namespace rerank {
namespace {

// Sums of one panel and 32 columns. All additions are of whole numbers, so their order is free.
template <int Rows>
RERANK_INLINE void multiply_block(const uint8_t* left, const int8_t* weights, int64_t k,
                                  Ints (&sums)[Rows][2]) {
    // So far ahead the weights are fetched: the lines of 16 steps.
    constexpr int kAhead = 2048;
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row)
        sums[row][0] = sums[row][1] = _mm512_setzero_si512();
    for (const uint8_t* end = left + k * Rows; left != end; left += Rows * kBlockK) {
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

// (sum - zero point * column's sum) * column's scale * row's scale + bias
RERANK_INLINE Floats dequantise(Ints sums, const Product& product, int64_t column, Floats scale,
                                Floats zero) {
    const Floats whole =
        _mm512_fnmadd_ps(zero, _mm512_load_ps(product.column_sum + column), _mm512_cvtepi32_ps(sums));
    return _mm512_fmadd_ps(_mm512_mul_ps(whole, _mm512_load_ps(product.scale + column)), scale,
                           _mm512_load_ps(product.bias + column));
}

// Calls `store(row, column, first 16 values, next 16 values)` for each row of the panel and each 32 columns.
template <int Rows, class Store>
RERANK_INLINE void multiply(const LeftRows& left, const Product& product, Store store) {
    for (int64_t column = 0; column < product.n; column += kBlockN) {
        Ints sums[Rows][2];
        multiply_block<Rows>(left.bytes, product.packed + column * product.k, product.k, sums);
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
            const Floats scale = _mm512_set1_ps(left.scale[row]);
            const Floats zero = _mm512_set1_ps(left.zero[row]);
            store(row, column, dequantise(sums[row][0], product, column, scale, zero),
                  dequantise(sums[row][1], product, column + 16, scale, zero));
        }
    }
}

}  // namespace
}  // namespace rerank
