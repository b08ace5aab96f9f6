// Sixteen floats at a time: reductions in a stated order, and powers of two.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace rerank {
namespace {

using Floats = __m512;
using Ints = __m512i;

// Keeps accumulators in registers: without it gcc 12 spills them inside loops that use nearly all of them.
#if defined(__clang__)
#define RERANK_PIN(a, b)
#else
#define RERANK_PIN(a, b) asm volatile("" : "+v"(a), "+v"(b))
#endif

#define RERANK_INLINE inline __attribute__((always_inline))
#define RERANK_LAMBDA __attribute__((always_inline))

// Compilers order the lanes of _mm512_reduce_* as they like; these give the same bits with each.
template <class Combine>
RERANK_INLINE float reduce(Floats v, Combine combine) {
    const __m256 eight = combine(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 four = combine(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = combine(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(combine(two, _mm_movehdup_ps(two)));
}

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

RERANK_INLINE float sum(Floats v) {
    return reduce(v, Add());
}
RERANK_INLINE float least(Floats v) {
    return reduce(v, Least());
}
RERANK_INLINE float greatest(Floats v) {
    return reduce(v, Greatest());
}

// 2^x for x <= 0: minimax polynomials on [-1/2, 1/2]; relative error 7.5e-5 of the first, 2e-7 of the second.
// NaN gives NaN, minus infinity zero.
RERANK_INLINE Floats exp2_coarse(Floats x) {
    const Floats whole = _mm512_roundscale_ps(x, 8);
    const Floats part = _mm512_sub_ps(x, whole);
    Floats p = _mm512_set1_ps(0.05517167f);
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.24261113f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.69326097f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.99992806f));
    return _mm512_scalef_ps(p, whole);
}

RERANK_INLINE Floats exp2_fine(Floats x) {
    const Floats whole = _mm512_roundscale_ps(x, 8);
    const Floats part = _mm512_sub_ps(x, whole);
    Floats p = _mm512_set1_ps(0.0013276472f);
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.0096755410f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.055507131f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.24022120f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(0.69314694f));
    p = _mm512_fmadd_ps(p, part, _mm512_set1_ps(1.0000001f));
    return _mm512_scalef_ps(p, whole);
}

// Transposes 16 rows of 16 dwords: to[column * pitch + row] = rows[row][column]. `pitch` is a multiple of 16.
inline void transpose(const Ints (&rows)[16], uint32_t* to, int64_t pitch) {
    Ints r[16];
    Ints t[16];
    for (int i = 0; i < 8; ++i) {
        t[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    for (int i = 0; i < 4; ++i) {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
        t[4 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xdd);
        t[8 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
        t[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        _mm512_store_si512(to + pitch * i, _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88));
        _mm512_store_si512(to + pitch * (i + 4), _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88));
        _mm512_store_si512(to + pitch * (i + 8), _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd));
        _mm512_store_si512(to + pitch * (i + 12), _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd));
    }
}

}  // namespace
}  // namespace rerank
