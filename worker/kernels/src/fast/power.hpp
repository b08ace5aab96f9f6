// Powers of two, for softmax.
#pragma once

#include "simd/simd.hpp"

namespace rerank {
namespace {

// 2^x for x <= 0: minimax polynomials on [-1/2, 1/2]; relative error 7.5e-5 of the first, 2e-7 of the second.
// NaN gives NaN, minus infinity zero.
RERANK_INLINE Floats exp2_coarse(Floats x) {
    const Floats whole = nearest_whole(x);
    const Floats part = x - whole;
    Floats p = broadcast(0.05517167f);
    p = multiply_add(p, part, broadcast(0.24261113f));
    p = multiply_add(p, part, broadcast(0.69326097f));
    p = multiply_add(p, part, broadcast(0.99992806f));
    return times_power_of_two(p, whole);
}

RERANK_INLINE Floats exp2_fine(Floats x) {
    const Floats whole = nearest_whole(x);
    const Floats part = x - whole;
    Floats p = broadcast(0.0013276472f);
    p = multiply_add(p, part, broadcast(0.0096755410f));
    p = multiply_add(p, part, broadcast(0.055507131f));
    p = multiply_add(p, part, broadcast(0.24022120f));
    p = multiply_add(p, part, broadcast(0.69314694f));
    p = multiply_add(p, part, broadcast(1.0000001f));
    return times_power_of_two(p, whole);
}

}  // namespace
}  // namespace rerank
