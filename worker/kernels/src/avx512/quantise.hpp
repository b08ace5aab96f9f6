// Rows of floats become rows of bytes, each with a scale and a zero point of its own.
#pragma once

#include "avx512/panels.hpp"

namespace rerank {
namespace {

// The quantised rows of one panel, as the left operand of a product: bytes[k / 64][rows][64], so that each
// row has one cache line of a block, and its place is known when the loop over rows is unrolled.
struct LeftRows {
    uint8_t* bytes;
    float* scale;  // [rows]
    float* zero;   // [rows]

    // Of the panel that starts at row `row` when all rows have `k` columns.
    LeftRows at(int64_t row, int64_t k) const { return {bytes + row * k, scale + row, zero + row}; }
};

// The least and the greatest value of a row, zero included, and whether all of them are finite.
class Range {
  public:
    RERANK_INLINE void add(Floats v) {
        low_ = _mm512_min_ps(low_, v);
        high_ = _mm512_max_ps(high_, v);
        // Minimum and maximum lose a NaN; a sum keeps it.
        sum_ = _mm512_add_ps(sum_, v);
    }
    float low() const { return least(low_); }
    float high() const { return greatest(high_); }
    float poison() const { return sum(sum_) * 0.0f; }

  private:
    Floats low_ = _mm512_setzero_ps();
    Floats high_ = _mm512_setzero_ps();
    Floats sum_ = _mm512_setzero_ps();
};

RERANK_INLINE Floats smoothed(const float* row, const float* smoothing, int64_t k) {
    const Floats v = _mm512_loadu_ps(row + k);
    return smoothing ? _mm512_mul_ps(v, _mm512_load_ps(smoothing + k)) : v;
}

RERANK_INLINE Range range_of(const float* row, const float* smoothing, int64_t count) {
    Range range;
    for (int64_t k = 0; k < count; k += 16)
        range.add(smoothed(row, smoothing, k));
    return range;
}

// Narrows 64 whole numbers to bytes; those out of range become the nearest byte.
RERANK_INLINE Ints pack_bytes(const Ints (&whole)[4]) {
    const Ints bytes =
        _mm512_packus_epi16(_mm512_packs_epi32(whole[0], whole[1]), _mm512_packs_epi32(whole[2], whole[3]));
    // Packing goes by lanes of 128 bits, which leaves groups of four numbers out of order.
    const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, bytes);
}

// Writes row `index` of a panel of `rows` rows. A row that holds a NaN or an infinity gets NaN as its scale,
// and so every product with it is NaN.
inline void quantise(const float* row, const float* smoothing, int64_t count, const Range& range,
                     LeftRows left, int rows, int index) {
    const float low = range.low();
    float scale = (range.high() - low) * (1.0f / 255.0f);
    // A smaller one would have an infinite inverse; such a row rounds to zeros.
    if (scale < 1e-30f) scale = 1e-30f;
    const float inverse = 1.0f / scale;
    const float zero = __builtin_rintf(-low * inverse);
    const float poison = range.poison() + scale * 0.0f;
    left.scale[index] = scale + poison;
    left.zero[index] = zero + poison;

    const Floats inverses = _mm512_set1_ps(inverse);
    const Floats zeros = _mm512_set1_ps(zero);
    uint8_t* line = left.bytes + index * kBlockK;
    for (int64_t k = 0; k < count; k += kBlockK, line += rows * kBlockK) {
        Ints whole[4];
        for (int part = 0; part < 4; ++part) {
            const Floats v = smoothed(row, smoothing, k + 16 * part);
            whole[part] = _mm512_cvtps_epi32(_mm512_fmadd_ps(v, inverses, zeros));
        }
        _mm512_store_si512(line, pack_bytes(whole));
    }
}

}  // namespace
}  // namespace rerank
