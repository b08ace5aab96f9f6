// Rows of floats become rows of bytes, each with a scale and a zero point of its own.
#pragma once

#include "core/shapes.hpp"
#include "fast/panels.hpp"

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
        low_ = smaller(low_, v);
        high_ = larger(high_, v);
        // Minimum and maximum lose a NaN; a sum keeps it.
        sum_ = sum_ + v;
    }
    float low() const { return least(low_); }
    float high() const { return greatest(high_); }
    float poison() const { return sum(sum_) * 0.0f; }

  private:
    Floats low_ = zero();
    Floats high_ = zero();
    Floats sum_ = zero();
};

RERANK_INLINE Floats smoothed(const float* row, const float* smoothing, int64_t k) {
    const Floats v = load_unaligned(row + k);
    return smoothing ? v * load(smoothing + k) : v;
}

RERANK_INLINE Range range_of(const float* row, const float* smoothing, int64_t count) {
    Range range;
    for (int64_t k = 0; k < count; k += kLanes)
        range.add(smoothed(row, smoothing, k));
    return range;
}

// Writes row `index` of a panel of `rows` rows, in so many steps from the least value to the greatest. A row
// that holds a NaN or an infinity gets NaN as its scale, and so every product with it is NaN.
RERANK_INLINE void quantise(const float* row, const float* smoothing, int64_t count, float steps,
                            const Range& range, LeftRows left, int rows, int index) {
    const float low = range.low();
    float scale = (range.high() - low) * (1.0f / steps);
    // A smaller one would have an infinite inverse; such a row rounds to zeros.
    if (scale < 1e-30f) scale = 1e-30f;
    const float inverse = 1.0f / scale;
    const float zero = __builtin_rintf(-low * inverse);
    const float poison = range.poison() + scale * 0.0f;
    left.scale[index] = scale + poison;
    left.zero[index] = zero + poison;

    const Floats inverses = broadcast(inverse);
    const Floats zeros = broadcast(zero);
    uint8_t* line = left.bytes + index * kBlockK;
    for (int64_t k = 0; k < count; k += kBlockK, line += rows * kBlockK) {
        for (int64_t inside = 0; inside < kBlockK; inside += 4 * kLanes) {
            Ints whole[4];
            for (int part = 0; part < 4; ++part) {
                const Floats v = smoothed(row, smoothing, k + inside + kLanes * part);
                whole[part] = to_ints(multiply_add(v, inverses, zeros));
            }
            store_bytes(line + inside, whole);
        }
    }
}

}  // namespace
}  // namespace rerank
