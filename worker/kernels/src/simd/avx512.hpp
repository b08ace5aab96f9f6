// Sixteen floats at a time.
#pragma once

#include "simd/common.hpp"

// Keeps accumulators in registers: without it gcc 12 spills them inside loops that use nearly all of them.
#if defined(__clang__)
#define RERANK_PIN(a, b)
#else
#define RERANK_PIN(a, b) asm volatile("" : "+v"(a), "+v"(b))
#endif

namespace rerank {
namespace {

using Floats = __m512;
using Ints = __m512i;
constexpr int64_t kLanes = 16;

// Rows that are multiplied together. Two vectors of sums a row, two of weights, and one to spare: 12 rows
// leave room, 14 would be the most.
constexpr int kPanelRows = 12;

RERANK_INLINE Floats zero() {
    return _mm512_setzero_ps();
}
RERANK_INLINE Floats broadcast(float value) {
    return _mm512_set1_ps(value);
}
RERANK_INLINE Floats load(const float* from) {
    return _mm512_load_ps(from);
}
RERANK_INLINE Floats load_unaligned(const float* from) {
    return _mm512_loadu_ps(from);
}
RERANK_INLINE void store(float* to, Floats v) {
    _mm512_store_ps(to, v);
}
RERANK_INLINE void store_unaligned(float* to, Floats v) {
    _mm512_storeu_ps(to, v);
}

// a * b + c, and c - a * b, rounded once.
RERANK_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
    return _mm512_fmadd_ps(a, b, c);
}
RERANK_INLINE Floats subtract_product(Floats a, Floats b, Floats c) {
    return _mm512_fnmadd_ps(a, b, c);
}

// Where one of both is NaN they are `b`.
RERANK_INLINE Floats smaller(Floats a, Floats b) {
    return _mm512_min_ps(a, b);
}
RERANK_INLINE Floats larger(Floats a, Floats b) {
    return _mm512_max_ps(a, b);
}
RERANK_INLINE Floats magnitude(Floats v) {
    return _mm512_abs_ps(v);
}

// `yes` in the lanes whose bit of `lanes` is set, the first lane's being the lowest.
RERANK_INLINE Floats select(uint32_t lanes, Floats yes, Floats no) {
    return _mm512_mask_mov_ps(no, static_cast<__mmask16>(lanes), yes);
}

RERANK_INLINE Floats nearest_whole(Floats v) {
    return _mm512_roundscale_ps(v, 8);
}
// p * 2^whole, for whole numbers of at most 0; zero where `whole` is minus infinity, whatever p is.
RERANK_INLINE Floats times_power_of_two(Floats p, Floats whole) {
    return _mm512_scalef_ps(p, whole);
}

RERANK_INLINE Ints to_ints(Floats v) {
    return _mm512_cvtps_epi32(v);
}
RERANK_INLINE Floats to_floats(Ints v) {
    return _mm512_cvtepi32_ps(v);
}

// Sixteen dwords of any kind.
RERANK_INLINE Ints no_bits() {
    return _mm512_setzero_si512();
}
RERANK_INLINE Ints load_bits(const void* from) {
    return _mm512_loadu_si512(from);
}

// Narrows 64 whole numbers to bytes; those out of range become the nearest byte.
RERANK_INLINE void store_bytes(uint8_t* to, const Ints (&whole)[4]) {
    const Ints bytes =
        _mm512_packus_epi16(_mm512_packs_epi32(whole[0], whole[1]), _mm512_packs_epi32(whole[2], whole[3]));
    // Packing goes by lanes of 128 bits, which leaves groups of four numbers out of order.
    const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_store_si512(to, _mm512_permutexvar_epi32(order, bytes));
}

// Compilers order the lanes of _mm512_reduce_* as they like; this gives the same bits with each.
template <class Combine>
RERANK_INLINE float reduce(Floats v, Combine combine) {
    return reduce(combine(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)), combine);
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
