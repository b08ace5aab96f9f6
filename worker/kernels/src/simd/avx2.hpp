// Eight floats at a time.
#pragma once

#include "simd/common.hpp"

// Keeps accumulators in registers: without it gcc 12 spills them inside loops that use nearly all of them.
#if defined(__clang__)
#define RERANK_PIN(a, b)
#else
#define RERANK_PIN(a, b) asm volatile("" : "+x"(a), "+x"(b))
#endif

namespace rerank {
namespace {

using Floats = __m256;
using Ints = __m256i;
constexpr int64_t kLanes = 8;

// Rows that are multiplied together: two vectors of sums each, of 16 registers.
constexpr int kPanelRows = 6;

RERANK_INLINE Floats zero() {
    return _mm256_setzero_ps();
}
RERANK_INLINE Floats broadcast(float value) {
    return _mm256_set1_ps(value);
}
RERANK_INLINE Floats load(const float* from) {
    return _mm256_load_ps(from);
}
RERANK_INLINE Floats load_unaligned(const float* from) {
    return _mm256_loadu_ps(from);
}
RERANK_INLINE void store(float* to, Floats v) {
    _mm256_store_ps(to, v);
}
RERANK_INLINE void store_unaligned(float* to, Floats v) {
    _mm256_storeu_ps(to, v);
}

// a * b + c, and c - a * b, rounded once.
RERANK_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
    return _mm256_fmadd_ps(a, b, c);
}
RERANK_INLINE Floats subtract_product(Floats a, Floats b, Floats c) {
    return _mm256_fnmadd_ps(a, b, c);
}

// Where one of both is NaN they are `b`.
RERANK_INLINE Floats smaller(Floats a, Floats b) {
    return _mm256_min_ps(a, b);
}
RERANK_INLINE Floats larger(Floats a, Floats b) {
    return _mm256_max_ps(a, b);
}
RERANK_INLINE Floats magnitude(Floats v) {
    return _mm256_andnot_ps(broadcast(-0.0f), v);
}

// `yes` in the lanes whose bit of `lanes` is set, the first lane's being the lowest.
RERANK_INLINE Floats select(uint32_t lanes, Floats yes, Floats no) {
    const Ints bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const Ints set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(lanes)), bits);
    return _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bits)));
}

RERANK_INLINE Floats nearest_whole(Floats v) {
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// p * 2^whole, for whole numbers of at most 0; zero where 2^whole is no normal number or zero, whatever p is.
RERANK_INLINE Floats times_power_of_two(Floats p, Floats whole) {
    const Ints exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
    const Floats power = _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
    return _mm256_and_ps(p * power, _mm256_cmp_ps(whole, broadcast(-126.0f), _CMP_NLT_UQ));
}

RERANK_INLINE Ints to_ints(Floats v) {
    return _mm256_cvtps_epi32(v);
}
RERANK_INLINE Floats to_floats(Ints v) {
    return _mm256_cvtepi32_ps(v);
}

// Eight dwords of any kind.
RERANK_INLINE Ints no_bits() {
    return _mm256_setzero_si256();
}
RERANK_INLINE Ints load_bits(const void* from) {
    return _mm256_loadu_si256(static_cast<const Ints*>(from));
}

// Narrows 32 whole numbers to bytes; those out of range become the nearest byte.
RERANK_INLINE void store_bytes(uint8_t* to, const Ints (&whole)[4]) {
    const Ints bytes =
        _mm256_packus_epi16(_mm256_packs_epi32(whole[0], whole[1]), _mm256_packs_epi32(whole[2], whole[3]));
    // Packing goes by lanes of 128 bits, which leaves groups of four numbers out of order.
    const Ints order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_store_si256(reinterpret_cast<Ints*>(to), _mm256_permutevar8x32_epi32(bytes, order));
}

// Transposes 8 rows of 8 dwords: to[column * pitch + row] = rows[row][column]. `pitch` is a multiple of 8.
inline void transpose(const Ints (&rows)[8], uint32_t* to, int64_t pitch) {
    Ints r[8];
    Ints t[8];
    for (int i = 0; i < 4; ++i) {
        t[2 * i] = _mm256_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
        r[4 * i] = _mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        _mm256_store_si256(reinterpret_cast<Ints*>(to + pitch * i),
                           _mm256_permute2x128_si256(r[i], r[4 + i], 0x20));
        _mm256_store_si256(reinterpret_cast<Ints*>(to + pitch * (i + 4)),
                           _mm256_permute2x128_si256(r[i], r[4 + i], 0x31));
    }
}

}  // namespace
}  // namespace rerank
