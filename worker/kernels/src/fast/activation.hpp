// What stands between the two products of the feed-forward block.
#pragma once

#include "core/shapes.hpp"
#include "simd/simd.hpp"

namespace rerank {
namespace {

// max(x, 0) + p(|x|): what GELU differs from ReLU by is even, small, and zero soon. p is a minimax polynomial
// up to `kBound`, and stays as it is there.
template <class Fit>
RERANK_INLINE Floats gelu(Floats x) {
    const Floats distance = smaller(magnitude(x), broadcast(Fit::kBound));
    Floats p = broadcast(Fit::kTerms[7]);
#pragma GCC unroll 7
    for (int term = 6; term >= 0; --term)
        p = multiply_add(p, distance, broadcast(Fit::kTerms[term]));
    // The minimum loses a NaN; this maximum keeps it.
    return larger(zero(), x) + p;
}

// Of x / 2 * (1 + erf(x / sqrt(2))): the greatest error over all x is 1.6e-4. (The tanh form differs
// by 4.7e-4.)
struct ErfFit {
    static constexpr float kBound = 3.9f;
    static constexpr float kTerms[8] = {1.4766736e-04f,  -5.0023127e-01f, 3.8711339e-01f,  5.0219033e-02f,
                                        -1.4618948e-01f, 6.0135566e-02f,  -1.0437836e-02f, 6.8316096e-04f};
};

// Of x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))): the greatest error over all x is 1.1e-4.
struct TanhFit {
    static constexpr float kBound = 3.8f;
    static constexpr float kTerms[8] = {9.3935194e-05f,  -4.9918941e-01f, 3.8378704e-01f,  5.4053936e-02f,
                                        -1.4865430e-01f, 6.1118901e-02f,  -1.0653452e-02f, 7.0221815e-04f};
};

struct GeluErf {
    RERANK_INLINE Floats operator()(Floats x) const { return gelu<ErfFit>(x); }
};
struct GeluTanh {
    RERANK_INLINE Floats operator()(Floats x) const { return gelu<TanhFit>(x); }
};
struct Relu {
    // In this order NaN stays NaN.
    RERANK_INLINE Floats operator()(Floats x) const { return larger(zero(), x); }
};

// Calls `visit` with the function of an activation.
template <class Visit>
RERANK_INLINE void with_activation(Activation activation, Visit visit) {
    switch (activation) {
        case Activation::kGelu:
            return visit(GeluErf());
        case Activation::kGeluTanh:
            return visit(GeluTanh());
        case Activation::kRelu:
            return visit(Relu());
    }
}

}  // namespace
}  // namespace rerank
