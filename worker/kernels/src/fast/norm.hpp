// LayerNormalization of one row, in place.
#pragma once

#include "core/weights.hpp"
#include "simd/simd.hpp"

namespace rerank {
namespace {

// Two sums of alternate vectors: one alone would wait for itself.
template <class Value>
RERANK_INLINE float sum_over(int64_t count, Value value) {
    Floats even = zero();
    Floats odd = zero();
    for (int64_t k = 0; k < count; k += 2 * kLanes) {
        even = even + value(k);
        odd = odd + value(k + kLanes);
    }
    return sum(even + odd);
}

// Normalises a panel of rows, step by step for all of them, so that none waits for its own sums. A row with a
// NaN, an infinity, or values whose squares overflow becomes NaN throughout.
template <int Rows>
inline void normalise(float* rows, int64_t count, const Norm& norm) {
    float mean[Rows];
    float factor[Rows];
    for (int r = 0; r < Rows; ++r) {
        const float* row = rows + r * count;
        mean[r] =
            sum_over(count, [&](int64_t k) { return load_unaligned(row + k); }) / static_cast<float>(count);
    }
    for (int r = 0; r < Rows; ++r) {
        const float* row = rows + r * count;
        const Floats means = broadcast(mean[r]);
        const float squares = sum_over(count, [&](int64_t k) {
            const Floats v = load_unaligned(row + k) - means;
            return v * v;
        });
        factor[r] =
            1.0f / __builtin_sqrtf(squares / static_cast<float>(count) + norm.epsilon) + squares * 0.0f;
    }
    for (int r = 0; r < Rows; ++r) {
        float* row = rows + r * count;
        const Floats means = broadcast(mean[r]);
        const Floats factors = broadcast(factor[r]);
        for (int64_t k = 0; k < count; k += kLanes) {
            const Floats v = (load_unaligned(row + k) - means) * factors;
            store_unaligned(row + k, multiply_add(v, load(norm.weight + k), load(norm.bias + k)));
        }
    }
}

}  // namespace
}  // namespace rerank
