// What stands between the two products of the feed-forward block.
#pragma once

#include "avx512/vectors.hpp"
#include "core/shapes.hpp"

namespace rerank {
namespace {

// x / 2 * (1 + s(x)), with s an odd polynomial on [-bound, bound] that ends at 1. Minimax fits of the whole product.
template <class Fit>
RERANK_INLINE Floats gelu(Floats x) {
    // The minimum gives the bound for NaN; the factor x / 2 keeps the NaN.
    const Floats inside =
        _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(Fit::kBound)), _mm512_set1_ps(-Fit::kBound));
    const Floats square = _mm512_mul_ps(inside, inside);
    Floats p = _mm512_set1_ps(Fit::kTerms[5]);
#pragma GCC unroll 5
    for (int term = 4; term >= 0; --term) p = _mm512_fmadd_ps(p, square, _mm512_set1_ps(Fit::kTerms[term]));
    const Floats half = _mm512_mul_ps(x, _mm512_set1_ps(0.5f));
    return _mm512_fmadd_ps(half, _mm512_mul_ps(inside, p), half);
}

// s(x) = erf(x / sqrt(2)); the greatest error of the product over all x is 4.94e-4 (of the tanh form: 4.7e-4).
struct ErfFit {
    static constexpr float kBound = 3.7f;
    static constexpr float kTerms[6] = {7.9295015e-01f,  -1.2517539e-01f, 1.5697375e-02f,
                                        -1.2350006e-03f, 5.3777301e-05f,  -9.7994121e-07f};
};

// s(x) = tanh(sqrt(2 / pi) * (x + 0.044715 x^3)); the greatest error of the product over all x is 4.37e-4.
struct TanhFit {
    static constexpr float kBound = 3.6f;
    static constexpr float kTerms[6] = {7.9331762e-01f,  -1.2607144e-01f, 1.6108843e-02f,
                                        -1.3060246e-03f, 5.9046466e-05f,  -1.1218202e-06f};
};

struct GeluErf {
    RERANK_INLINE Floats operator()(Floats x) const { return gelu<ErfFit>(x); }
};
struct GeluTanh {
    RERANK_INLINE Floats operator()(Floats x) const { return gelu<TanhFit>(x); }
};
struct Relu {
    // In this order NaN stays NaN.
    RERANK_INLINE Floats operator()(Floats x) const { return _mm512_max_ps(_mm512_setzero_ps(), x); }
};

// Calls `visit` with the function of an activation.
template <class Visit>
RERANK_INLINE void with_activation(Activation activation, Visit visit) {
    switch (activation) {
        case Activation::kGelu: return visit(GeluErf());
        case Activation::kGeluTanh: return visit(GeluTanh());
        case Activation::kRelu: return visit(Relu());
    }
}

}  // namespace
}  // namespace rerank
