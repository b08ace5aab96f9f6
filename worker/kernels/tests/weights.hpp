// Made-up weights of both operators.
#pragma once

#include <memory>

#include "core/packing.hpp"
#include "random.hpp"

namespace rerank::fuzz {

// Owns vectors and matrices that weights point to.
class Weights {
  public:
    explicit Weights(uint64_t seed) : random_(seed) {}

    LayerWeights layer(const LayerShape& shape, bool smoothed) {
        const int64_t hidden = shape.hidden;
        LayerWeights weights = {};
        weights.shape = shape;
        weights.qkv = product(hidden, 3 * hidden, smoothed);
        weights.out = product(hidden, hidden, smoothed);
        weights.up = product(hidden, shape.inner, smoothed);
        weights.down = product(shape.inner, hidden, smoothed);
        weights.attention_norm = {vector(hidden, 1.0f, 0.1f), vector(hidden, 0.0f, 0.1f), 1e-12f};
        weights.output_norm = {vector(hidden, 1.0f, 0.1f), vector(hidden, 0.0f, 0.1f), 1e-12f};
        return weights;
    }

    FirstRowsWeights first_rows(const FirstRowsShape& shape) {
        const int64_t hidden = shape.hidden;
        const float size = 1.0f / std::sqrt(static_cast<float>(hidden));
        return {shape, vector(hidden * hidden, 0.0f, size), vector(hidden, 0.0f, 0.1f),
                vector(hidden * hidden, 0.0f, size)};
    }

  private:
    float* vector(int64_t count, float middle, float spread) {
        floats_.push_back(std::make_unique<Exact<float>>(static_cast<size_t>(count)));
        Exact<float>& made = *floats_.back();
        for (size_t i = 0; i < made.size(); ++i)
            made[i] = middle + spread * random_.normal();
        return made.data();
    }

    Product product(int64_t k, int64_t n, bool smoothed) {
        const auto size = static_cast<size_t>(k * n);
        // Of the full range or the reduced one, and near a normal law as in trained layers.
        const float bound = random_.below(2) ? 63.0f : 127.0f;
        const float spread = 0.3f * bound;
        Exact<int8_t> plain(size);
        for (size_t i = 0; i < size; ++i)
            plain[i] =
                static_cast<int8_t>(std::fmax(-bound - 1.0f, std::fmin(bound, spread * random_.normal())));
        bytes_.push_back(std::make_unique<Exact<int8_t>>(size));
        int8_t* packed = bytes_.back()->data();
        pack(plain.data(), k, n, packed);
        float* sums = vector(n, 0.0f, 0.0f);
        sum_columns(packed, k, n, sums);
        const float scale = 1.0f / (spread * std::sqrt(static_cast<float>(k)));
        return {k,
                n,
                packed,
                vector(n, scale, 0.1f * scale),
                sums,
                vector(n, 0.0f, 0.1f),
                largest_four(packed, k, n),
                smoothed ? vector(k, 1.0f, 0.2f) : nullptr};
    }

    Random random_;
    std::vector<std::unique_ptr<Exact<float>>> floats_;
    std::vector<std::unique_ptr<Exact<int8_t>>> bytes_;
};

}  // namespace rerank::fuzz
