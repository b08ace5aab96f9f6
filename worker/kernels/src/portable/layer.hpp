// One encoder layer in plain loops: what the other engines compute, said once without their speed.
#pragma once

#include <math.h>

#include "core/groups.hpp"
#include "core/scratch.hpp"
#include "core/weights.hpp"

namespace rerank {
namespace {

constexpr float kLn2 = 0.69314718f;

// One row of bytes. Each byte stands for (byte - zero) * scale.
struct QuantisedRow {
    uint8_t* bytes;
    float scale;
    float zero;
};

// A row that holds a NaN or an infinity gets NaN as its scale, and so every product with it is NaN.
inline void quantise(const float* row, const float* smoothing, int64_t count, QuantisedRow& to) {
    float low = 0.0f;
    float high = 0.0f;
    bool finite = true;
    for (int64_t k = 0; k < count; ++k) {
        const float v = smoothing ? row[k] * smoothing[k] : row[k];
        if (v < low) low = v;
        if (v > high) high = v;
        finite = finite && __builtin_isfinite(v);
    }
    const float range = (high - low) / 255.0f;
    if (!finite || !__builtin_isfinite(range)) {
        to.scale = to.zero = NAN;
        for (int64_t k = 0; k < count; ++k)
            to.bytes[k] = 0;
        return;
    }
    // A smaller one would have an infinite inverse; such a row rounds to zeros.
    to.scale = range < 1e-30f ? 1e-30f : range;
    to.zero = rintf(-low / to.scale);
    for (int64_t k = 0; k < count; ++k) {
        const float v = smoothing ? row[k] * smoothing[k] : row[k];
        const float whole = rintf(v / to.scale + to.zero);
        to.bytes[k] = static_cast<uint8_t>(whole < 0.0f ? 0.0f : whole > 255.0f ? 255.0f : whole);
    }
}

inline void multiply(const QuantisedRow& row, const Product& product, float* to) {
    for (int64_t n = 0; n < product.n; ++n) {
        int32_t total = 0;
        for (int64_t k = 0; k < product.k; ++k)
            total += row.bytes[k] * product.packed[packed_place(product.k, k, n)];
        const float whole = static_cast<float>(total) - row.zero * product.column_sum[n];
        to[n] = whole * product.scale[n] * row.scale + product.bias[n];
    }
}

// A row with a NaN, an infinity, or values whose squares overflow becomes NaN throughout.
inline void normalise(float* row, int64_t count, const Norm& norm) {
    float total = 0.0f;
    for (int64_t k = 0; k < count; ++k)
        total += row[k];
    const float mean = total / static_cast<float>(count);
    float squares = 0.0f;
    for (int64_t k = 0; k < count; ++k)
        squares += (row[k] - mean) * (row[k] - mean);
    const float factor =
        __builtin_isfinite(squares) ? 1.0f / sqrtf(squares / static_cast<float>(count) + norm.epsilon) : NAN;
    for (int64_t k = 0; k < count; ++k)
        row[k] = (row[k] - mean) * factor * norm.weight[k] + norm.bias[k];
}

inline float activate(Activation activation, float x) {
    switch (activation) {
        case Activation::kGelu:
            return 0.5f * x * (1.0f + erff(x * 0.70710678f));
        case Activation::kGeluTanh:
            return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
        case Activation::kRelu:
            return x < 0.0f ? 0.0f : x;
    }
    return NAN;
}

// Adds the softmax of `query` times the keys, applied to the values, of one head. Query, keys and values are
// rows of `pitch` floats; the query holds log2(e) / sqrt(width).
inline void attend(const float* query, const float* keys, const float* values, int64_t pitch, int64_t length,
                   int64_t width, float* scores, float* to) {
    float most = -INFINITY;
    for (int64_t token = 0; token < length; ++token) {
        float score = 0.0f;
        for (int64_t k = 0; k < width; ++k)
            score += query[k] * keys[token * pitch + k];
        scores[token] = score;
        if (score > most) most = score;
    }
    float total = 0.0f;
    for (int64_t token = 0; token < length; ++token) {
        // expm1f is in every C library that wheels are built for; expf there needs a newer one.
        scores[token] = 1.0f + expm1f((scores[token] - most) * kLn2);
        total += scores[token];
    }
    for (int64_t k = 0; k < width; ++k)
        to[k] = 0.0f;
    for (int64_t token = 0; token < length; ++token) {
        for (int64_t k = 0; k < width; ++k)
            to[k] += scores[token] / total * values[token * pitch + k];
    }
}

class PortableLayer {
  public:
    PortableLayer(const LayerWeights& weights, const Batch& batch, Scratch& scratch)
        : weights_(weights), hidden_(weights.shape.hidden) {
        const int64_t longest = extent_of(batch, batch.pairs).length;
        columns_ = scratch.take<float>(longest * 3 * hidden_);
        scores_ = scratch.take<float>(longest);
        context_ = scratch.take<float>(hidden_);
        attended_ = scratch.take<float>(hidden_);
        wide_ = scratch.take<float>(weights.shape.inner);
        bytes_ = scratch.take<uint8_t>(hidden_ > weights.shape.inner ? hidden_ : weights.shape.inner);
    }

    void run_pair(const float* x, float* out, int64_t length) {
        for (int64_t row = 0; row < length; ++row)
            product(weights_.qkv, x + row * hidden_, columns_ + row * 3 * hidden_);
        const int64_t width = hidden_ / weights_.shape.heads;
        for (int64_t row = 0; row < length; ++row) {
            for (int64_t k = 0; k < hidden_; k += width) {
                attend(columns_ + row * 3 * hidden_ + k, columns_ + hidden_ + k, columns_ + 2 * hidden_ + k,
                       3 * hidden_, length, width, scores_, context_ + k);
            }
            product(weights_.out, context_, attended_);
            for (int64_t k = 0; k < hidden_; ++k)
                attended_[k] += x[row * hidden_ + k];
            normalise(attended_, hidden_, weights_.attention_norm);
            feed_forward(out + row * hidden_);
        }
    }

  private:
    void feed_forward(float* out) {
        product(weights_.up, attended_, wide_);
        for (int64_t k = 0; k < weights_.shape.inner; ++k)
            wide_[k] = activate(weights_.shape.activation, wide_[k]);
        product(weights_.down, wide_, out);
        for (int64_t k = 0; k < hidden_; ++k)
            out[k] += attended_[k];
        normalise(out, hidden_, weights_.output_norm);
    }

    void product(const Product& product, const float* row, float* to) {
        QuantisedRow bytes = {bytes_, 0.0f, 0.0f};
        quantise(row, product.smoothing, product.k, bytes);
        multiply(bytes, product, to);
    }

    const LayerWeights& weights_;
    int64_t hidden_;
    float* columns_;   // [tokens][3H]
    float* scores_;    // [tokens]
    float* context_;   // [H]
    float* attended_;  // [H]
    float* wide_;      // [F]
    uint8_t* bytes_;   // [max(H, F)]
};

size_t layer_scratch(const LayerWeights& weights, const Batch& batch) {
    Scratch scratch(nullptr);
    PortableLayer layer(weights, batch, scratch);
    return scratch.bytes();
}

void run_layer(const LayerWeights& weights, const Batch& batch, const float* x, float* out, void* memory) {
    Scratch scratch(memory);
    PortableLayer layer(weights, batch, scratch);
    const int64_t hidden = weights.shape.hidden;
    for_each_group(batch, batch.pairs, [&](const Group& group) {
        for_each_pair(batch, group, [&](int64_t row, int64_t, int64_t length) {
            layer.run_pair(x + row * hidden, out + row * hidden, length);
        });
    });
}

}  // namespace
}  // namespace rerank
