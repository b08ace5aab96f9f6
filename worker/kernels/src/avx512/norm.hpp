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

// A row with a NaN, an infinity, or values whose squares overflow becomes NaN throughout.
inline void normalise(float* row, int64_t count, const Norm& norm) {
    const float mean = sum_over(count, [&](int64_t k) { return _mm512_loadu_ps(row + k); }) / count;
    const Floats means = _mm512_set1_ps(mean);
    const float squares = sum_over(count, [&](int64_t k) {
        const Floats v = _mm512_sub_ps(_mm512_loadu_ps(row + k), means);
        return _mm512_mul_ps(v, v);
    });
    const float inverse = 1.0f / __builtin_sqrtf(squares / count + norm.epsilon);
    const Floats factor = _mm512_set1_ps(inverse + squares * 0.0f);
    for (int64_t k = 0; k < count; k += 16) {
        const Floats v = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(row + k), means), factor);
        _mm512_storeu_ps(row + k, _mm512_fmadd_ps(v, _mm512_load_ps(norm.weight + k), _mm512_load_ps(norm.bias + k)));
    }
}

}  // namespace
}  // namespace rerank
