// What vectors of every width share: how functions are inlined, and reductions in a stated order.
#pragma once

#include <immintrin.h>

#include <cstdint>

#define RERANK_INLINE inline __attribute__((always_inline))
#define RERANK_LAMBDA __attribute__((always_inline))

namespace rerank {
namespace {

struct Add {
    RERANK_INLINE __m256 operator()(__m256 a, __m256 b) const { return _mm256_add_ps(a, b); }
    RERANK_INLINE __m128 operator()(__m128 a, __m128 b) const { return _mm_add_ps(a, b); }
};
struct Least {
    RERANK_INLINE __m256 operator()(__m256 a, __m256 b) const { return _mm256_min_ps(a, b); }
    RERANK_INLINE __m128 operator()(__m128 a, __m128 b) const { return _mm_min_ps(a, b); }
};
struct Greatest {
    RERANK_INLINE __m256 operator()(__m256 a, __m256 b) const { return _mm256_max_ps(a, b); }
    RERANK_INLINE __m128 operator()(__m128 a, __m128 b) const { return _mm_max_ps(a, b); }
};

template <class Combine>
RERANK_INLINE float reduce(__m256 eight, Combine combine) {
    const __m128 four = combine(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = combine(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(combine(two, _mm_movehdup_ps(two)));
}

}  // namespace
}  // namespace rerank
