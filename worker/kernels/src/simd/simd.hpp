// Vectors of floats, as wide as the instruction set of this translation unit has them: what the code in fast/
// is written in. Arithmetic is by + - * /; only multiply_add and subtract_product round a product and a sum
// once.
#pragma once

#ifdef __AVX512F__
#include "simd/avx512.hpp"
#else
#include "simd/avx2.hpp"
#endif

namespace rerank {
namespace {

// So many columns of a product, or keys of attention, are computed together: two vectors.
constexpr int64_t kWide = 2 * kLanes;

RERANK_INLINE float sum(Floats v) {
    return reduce(v, Add());
}
RERANK_INLINE float least(Floats v) {
    return reduce(v, Least());
}
RERANK_INLINE float greatest(Floats v) {
    return reduce(v, Greatest());
}

}  // namespace
}  // namespace rerank
