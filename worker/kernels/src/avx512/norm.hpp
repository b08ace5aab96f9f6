// LayerNormalization of one row, in place.
#pragma once

#include "avx512/vectors.hpp"
#include "core/weights.hpp"

namespace rerank {
namespace {

// Two sums of alternate vectors: one alone would wait for itself.
template <class Value>
RERANK_INLINE float sum_over(int64_t count, Value value) {
    Floats even = _mm512_setzero_ps();
    Floats odd = _mm512_setzero_ps();
    for (int64_t k = 0; k < count; k += 32) {
        even = _mm512_add_ps(even, value(k));
        odd = _mm512_add_ps(odd, value(k + 16));
    }
    return sum(_mm512_add_ps(even, odd));
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
            sum_over(count, [&](int64_t k) { return _mm512_loadu_ps(row + k); }) / static_cast<float>(count);
    }
    for (int r = 0; r < Rows; ++r) {
        const float* row = rows + r * count;
        const Floats means = _mm512_set1_ps(mean[r]);
        const float squares = sum_over(count, [&](int64_t k) {
            const Floats v = _mm512_sub_ps(_mm512_loadu_ps(row + k), means);
            return _mm512_mul_ps(v, v);
        });
        factor[r] =
            1.0f / __builtin_sqrtf(squares / static_cast<float>(count) + norm.epsilon) + squares * 0.0f;
    }
    for (int r = 0; r < Rows; ++r) {
        float* row = rows + r * count;
        const Floats means = _mm512_set1_ps(mean[r]);
        const Floats factors = _mm512_set1_ps(factor[r]);
        for (int64_t k = 0; k < count; k += 16) {
            const Floats v = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(row + k), means), factors);
            _mm512_storeu_ps(
                row + k, _mm512_fmadd_ps(v, _mm512_load_ps(norm.weight + k), _mm512_load_ps(norm.bias + k)));
        }
    }
}

}  // namespace
}  // namespace rerank
