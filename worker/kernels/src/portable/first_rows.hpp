// What the first token of each pair takes from the last layer, in plain loops.
#pragma once

#include <math.h>

#include "core/groups.hpp"
#include "core/scratch.hpp"
#include "core/weights.hpp"

namespace rerank {
namespace {

// The mean of the tokens, weighted by the softmax of their products with `absorbed`.
inline void weighted_mean(const float* tokens, int64_t length, int64_t hidden, const float* absorbed,
                          float* scores, float* mean) {
    float most = -INFINITY;
    for (int64_t token = 0; token < length; ++token) {
        float score = 0.0f;
        for (int64_t k = 0; k < hidden; ++k)
            score += tokens[token * hidden + k] * absorbed[k];
        scores[token] = score;
        if (score > most) most = score;
    }
    float total = 0.0f;
    for (int64_t token = 0; token < length; ++token) {
        // Zero times an infinite distance is NaN: a token with an infinity must not just weigh nothing.
        const float below = scores[token] - most;
        scores[token] = 1.0f + expm1f(below) + below * 0.0f;
        total += scores[token];
    }
    for (int64_t k = 0; k < hidden; ++k)
        mean[k] = 0.0f;
    for (int64_t token = 0; token < length; ++token) {
        for (int64_t k = 0; k < hidden; ++k)
            mean[k] += scores[token] / total * tokens[token * hidden + k];
    }
}

struct FirstRowsScratch {
    FirstRowsScratch(int64_t hidden, int64_t longest, Scratch& scratch)
        : query(scratch.take<float>(hidden)),
          absorbed(scratch.take<float>(hidden)),
          scores(scratch.take<float>(longest)) {}

    float* query;     // [H]
    float* absorbed;  // [H]
    float* scores;    // [tokens]
};

inline void first_row(const FirstRowsWeights& weights, const FirstRowsScratch& at, const float* tokens,
                      int64_t length, float* out) {
    const int64_t hidden = weights.shape.hidden;
    const int64_t width = hidden / weights.shape.heads;
    for (int64_t n = 0; n < hidden; ++n) {
        float total = 0.0f;
        for (int64_t k = 0; k < hidden; ++k)
            total += tokens[k] * weights.query[k * hidden + n];
        at.query[n] = total + weights.bias[n];
    }
    for (int64_t head = 0; head < weights.shape.heads; ++head) {
        const float* key = weights.key + head * width * hidden;
        for (int64_t n = 0; n < hidden; ++n) {
            at.absorbed[n] = 0.0f;
            for (int64_t k = 0; k < width; ++k)
                at.absorbed[n] += at.query[head * width + k] * key[k * hidden + n];
        }
        weighted_mean(tokens, length, hidden, at.absorbed, at.scores, out + head * hidden);
    }
    for (int64_t k = 0; k < hidden; ++k)
        out[weights.shape.heads * hidden + k] = tokens[k];
}

size_t first_rows_scratch(const FirstRowsWeights& weights, const Batch& batch) {
    Scratch scratch(nullptr);
    FirstRowsScratch rows(weights.shape.hidden, extent_of(batch, batch.pairs).length, scratch);
    return scratch.bytes();
}

void run_first_rows(const FirstRowsWeights& weights, const Batch& batch, const float* x, float* out,
                    void* memory) {
    const int64_t hidden = weights.shape.hidden;
    Scratch scratch(memory);
    const FirstRowsScratch rows(hidden, extent_of(batch, batch.pairs).length, scratch);
    for_each_group(batch, batch.pairs, [&](const Group& group) {
        for_each_pair(batch, group, [&](int64_t row, int64_t, int64_t length) {
            first_row(weights, rows, x + row * hidden, length, out);
            out += (weights.shape.heads + 1) * hidden;
        });
    });
}

}  // namespace
}  // namespace rerank
