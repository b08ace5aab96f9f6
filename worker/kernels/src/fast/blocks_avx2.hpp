// A block of the matrix product of bytes by AVX2, which has no instruction that sums such products in 32 bits.
//
// vpmaddubsw sums two of them in 16 bits. With weights of seven bits no sum overflows: 255 * 64 * 2 is less than
// 2^15. Other weights are multiplied in 16 bits, which is exact and slower.
#pragma once

#include "core/weights.hpp"
#include "simd/simd.hpp"

namespace rerank {
namespace {

RERANK_INLINE Ints broadcast_four(const uint8_t* bytes) {
    int four;
    __builtin_memcpy(&four, bytes, sizeof four);
    return _mm256_set1_epi32(four);
}

// Weights of eight columns and four rows.
RERANK_INLINE Ints load_weights(const int8_t* weights) {
    return _mm256_load_si256(reinterpret_cast<const Ints*>(weights));
}

struct SevenBits {
    static constexpr int kRows = kPanelRows;

    template <int Rows>
    static RERANK_INLINE void step(const uint8_t* left, const int8_t* weights, Ints (&sums)[Rows][2]) {
        const Ints first = load_weights(weights);
        const Ints second = load_weights(weights + 32);
#pragma GCC unroll 8
        for (int row = 0; row < Rows; ++row) {
            const Ints bytes = broadcast_four(left + row * kBlockK);
            sums[row][0] = add(sums[row][0], bytes, first);
            sums[row][1] = add(sums[row][1], bytes, second);
            RERANK_PIN(sums[row][0], sums[row][1]);
        }
    }

    static RERANK_INLINE Ints add(Ints sum, Ints bytes, Ints weights) {
        const Ints pairs = _mm256_maddubs_epi16(bytes, weights);
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
};

struct EightBits {
    // Weights take four registers here, and so there are sums of half a panel.
    static constexpr int kRows = kPanelRows / 2;

    template <int Rows>
    static RERANK_INLINE void step(const uint8_t* left, const int8_t* weights, Ints (&sums)[Rows][2]) {
        const Ints first = load_weights(weights);
        const Ints second = load_weights(weights + 32);
        const Ints columns[2][2] = {{even(first), odd(first)}, {even(second), odd(second)}};
#pragma GCC unroll 8
        for (int row = 0; row < Rows; ++row) {
            const Ints bytes = broadcast_four(left + row * kBlockK);
            const Ints evens = _mm256_and_si256(bytes, _mm256_set1_epi16(255));
            const Ints odds = _mm256_srli_epi16(bytes, 8);
            sums[row][0] = add(sums[row][0], evens, odds, columns[0]);
            sums[row][1] = add(sums[row][1], evens, odds, columns[1]);
            RERANK_PIN(sums[row][0], sums[row][1]);
        }
    }

    static RERANK_INLINE Ints even(Ints bytes) { return _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8); }
    static RERANK_INLINE Ints odd(Ints bytes) { return _mm256_srai_epi16(bytes, 8); }
    static RERANK_INLINE Ints add(Ints sum, Ints evens, Ints odds, const Ints (&weights)[2]) {
        const Ints pairs =
            _mm256_add_epi32(_mm256_madd_epi16(evens, weights[0]), _mm256_madd_epi16(odds, weights[1]));
        return _mm256_add_epi32(sum, pairs);
    }
};

// Sums of rows `First` to `First + Rows` of a panel of `Panel`.
template <class Bits, int Panel, int First, int Rows>
RERANK_INLINE void multiply_rows(const uint8_t* left, const int8_t* weights, int64_t k,
                                 Ints (&sums)[Panel][2]) {
    // So far ahead the weights are fetched: the lines of 16 steps.
    constexpr int kAhead = 2048;
    Ints own[Rows][2];
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row)
        own[row][0] = own[row][1] = _mm256_setzero_si256();
    const uint8_t* place = left + First * kBlockK;
    for (const uint8_t* end = place + k * Panel; place != end; place += Panel * kBlockK) {
#pragma GCC unroll 4
        for (int step = 0; step < kBlockK; step += 4, weights += kBlockN * 4) {
            _mm_prefetch(reinterpret_cast<const char*>(weights + kAhead), _MM_HINT_T0);
            Bits::template step<Rows>(place + step, weights, own);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
        sums[First + row][0] = own[row][0];
        sums[First + row][1] = own[row][1];
    }
}

template <class Bits, int First, int Rows>
RERANK_INLINE void multiply_from(const uint8_t* left, const int8_t* weights, int64_t k,
                                 Ints (&sums)[Rows][2]) {
    constexpr int kTaken = Rows - First < Bits::kRows ? Rows - First : Bits::kRows;
    multiply_rows<Bits, Rows, First, kTaken>(left, weights, k, sums);
    if constexpr (First + kTaken < Rows) multiply_from<Bits, First + kTaken>(left, weights, k, sums);
}

// Sums of one panel and kWide columns. All additions are of whole numbers, so their order is free.
template <int Rows>
RERANK_INLINE void multiply_block(const uint8_t* left, const Product& product, int64_t column,
                                  Ints (&sums)[Rows][2]) {
    const int64_t inside = column % kBlockN;
    const int8_t* weights = product.packed + (column - inside) * product.k + inside * 4;
    if (product.seven_bits)
        multiply_from<SevenBits, 0>(left, weights, product.k, sums);
    else
        multiply_from<EightBits, 0>(left, weights, product.k, sums);
}

}  // namespace
}  // namespace rerank
