// One encoder layer over a batch.
//
// Each phase goes over all panels of a group before the next begins, so that its weights stay in the second-level
// cache. Attention, the product of its output and the norm are one phase, as all of them work on one panel.
#pragma once

#include "avx512/activation.hpp"
#include "avx512/attention.hpp"
#include "avx512/norm.hpp"
#include "avx512/product.hpp"
#include "core/groups.hpp"
#include "core/scratch.hpp"

namespace rerank {
namespace {

template <class Kind>
class Layer {
  public:
    using Element = typename Kind::Element;

    Layer(const LayerWeights& weights, const Batch& batch, Scratch& scratch)
        : Layer(weights, extent_of(batch, batch.pairs), scratch) {}

    void run(const Batch& batch, const float* x, float* out) {
        for_each_group(batch, batch.pairs, [&](const Group& group) {
            for_each_pair(batch, group, [&](int64_t row, int64_t inside, int64_t length) {
                for_each_panel(length, [&](int64_t first, int rows) {
                    with_rows(rows, [&](auto count) {
                        project<count.value>(x + (row + first) * hidden(), inside + first);
                    });
                });
            });
            for_each_pair(batch, group, [&](int64_t row, int64_t inside, int64_t length) {
                attention_.prepare({columns_ + inside * kBlockN, pitch()}, length);
                for_each_panel(length, [&](int64_t first, int rows) {
                    with_rows(rows, [&](auto count) {
                        attend<count.value>(x + (row + first) * hidden(), first, inside + first);
                    });
                });
            });
            for_each_pair(batch, group, [&](int64_t, int64_t inside, int64_t length) {
                for_each_panel(length, [&](int64_t first, int rows) {
                    with_rows(rows, [&](auto count) { widen<count.value>(inside + first); });
                });
            });
            for_each_pair(batch, group, [&](int64_t row, int64_t inside, int64_t length) {
                for_each_panel(length, [&](int64_t first, int rows) {
                    with_rows(rows, [&](auto count) {
                        narrow<count.value>(inside + first, out + (row + first) * hidden());
                    });
                });
            });
        });
    }

  private:
    Layer(const LayerWeights& weights, const Extent& extent, Scratch& scratch)
        : weights_(weights),
          tokens_(extent.tokens),
          attention_(weights.shape.hidden, weights.shape.heads, extent.length, scratch) {
        const int64_t hidden = weights.shape.hidden;
        const int64_t inner = weights.shape.inner;
        panel_ = take_rows(scratch, kPanelRows, hidden);
        columns_ = scratch.take<Element>(3 * hidden * tokens_);
        context_ = scratch.take<float>(kPanelRows * hidden);
        attended_ = scratch.take<float>(tokens_ * hidden);
        attended_rows_ = take_rows(scratch, tokens_, hidden);
        wide_ = scratch.take<float>(kPanelRows * inner);
        wide_rows_ = take_rows(scratch, tokens_, inner);
    }

    static LeftRows take_rows(Scratch& scratch, int64_t rows, int64_t k) {
        return {scratch.take<uint8_t>(rows * k), scratch.take<float>(rows), scratch.take<float>(rows)};
    }

    int64_t hidden() const { return weights_.shape.hidden; }
    int64_t pitch() const { return tokens_ * kBlockN; }

    // Queries, keys and values of a panel.
    template <int Rows>
    __attribute__((noinline)) void project(const float* x, int64_t row) {
        const Product& product = weights_.qkv;
        quantise_rows(x, product, panel_, Rows);
        multiply<Rows>(
            panel_, product,
            [&](int r, int64_t column, Floats a, Floats b) RERANK_LAMBDA {
                Kind::store(columns_ + column / kBlockN * pitch() + (row + r) * kBlockN, a, b);
            },
            [](int64_t) {});
    }

    // LN(attention * Wo + x), and its quantised form.
    template <int Rows>
    __attribute__((noinline)) void attend(const float* x, int64_t row_of_pair, int64_t row) {
        attention_.template panel<Rows>(row_of_pair, context_);
        const Product& product = weights_.out;
        quantise_rows(context_, product, panel_, Rows);
        float* attended = attended_ + row * hidden();
        multiply<Rows>(panel_, product, adding(x, attended), [](int64_t) {});
        for (int r = 0; r < Rows; ++r) normalise(attended + r * hidden(), hidden(), weights_.attention_norm);
        quantise_rows(attended, weights_.up, attended_rows_.at(row, hidden()), Rows);
    }

    // The activation of attended * Wup, in its quantised form.
    template <int Rows>
    __attribute__((noinline)) void widen(int64_t row) {
        const int64_t inner = weights_.shape.inner;
        const float* smoothing = weights_.down.smoothing;
        Range ranges[Rows];
        multiply<Rows>(
            attended_rows_.at(row, hidden()), weights_.up,
            [&](int r, int64_t column, Floats a, Floats b) RERANK_LAMBDA {
                _mm512_store_ps(wide_ + r * inner + column, a);
                _mm512_store_ps(wide_ + r * inner + column + 16, b);
            },
            [&](int64_t column) RERANK_LAMBDA {
                with_activation(weights_.shape.activation, [&](auto activation) RERANK_LAMBDA {
                    for (int r = 0; r < Rows; ++r) {
                        for (int64_t k = column; k < column + kBlockN; k += 16) {
                            float* place = wide_ + r * inner + k;
                            Floats v = activation(_mm512_load_ps(place));
                            if (smoothing) v = _mm512_mul_ps(v, _mm512_load_ps(smoothing + k));
                            ranges[r].add(v);
                            _mm512_store_ps(place, v);
                        }
                    }
                });
            });
        const LeftRows left = wide_rows_.at(row, inner);
        for (int r = 0; r < Rows; ++r) quantise(wide_ + r * inner, nullptr, inner, ranges[r], left, Rows, r);
    }

    // LN(wide * Wdown + attended).
    template <int Rows>
    __attribute__((noinline)) void narrow(int64_t row, float* out) {
        const float* attended = attended_ + row * hidden();
        multiply<Rows>(wide_rows_.at(row, weights_.shape.inner), weights_.down, adding(attended, out), [](int64_t) {});
        for (int r = 0; r < Rows; ++r) normalise(out + r * hidden(), hidden(), weights_.output_norm);
    }

    void quantise_rows(const float* rows, const Product& product, const LeftRows& left, int count) {
        for (int r = 0; r < count; ++r) {
            const float* row = rows + r * product.k;
            quantise(row, product.smoothing, product.k, range_of(row, product.smoothing, product.k), left, count, r);
        }
    }

    // Stores a product with the residual added.
    auto adding(const float* residual, float* to) const {
        const int64_t pitch = hidden();
        return [=](int r, int64_t column, Floats a, Floats b) RERANK_LAMBDA {
            const int64_t place = r * pitch + column;
            _mm512_storeu_ps(to + place, _mm512_add_ps(a, _mm512_loadu_ps(residual + place)));
            _mm512_storeu_ps(to + place + 16, _mm512_add_ps(b, _mm512_loadu_ps(residual + place + 16)));
        };
    }

    const LayerWeights& weights_;
    int64_t tokens_;  // of the largest group
    Attention<Kind> attention_;
    LeftRows panel_;           // [12] rows of H, of the panel at work
    Element* columns_;         // [3H / 32][tokens][32] queries, keys and values
    float* context_;           // [12][H] what attention takes
    float* attended_;          // [tokens][H]
    LeftRows attended_rows_;   // the same, quantised
    float* wide_;              // [12][F]
    LeftRows wide_rows_;       // [tokens] rows of F
};

template <class Kind>
size_t layer_scratch(const LayerWeights& weights, const Batch& batch) {
    Scratch scratch(nullptr);
    Layer<Kind> layer(weights, batch, scratch);
    return scratch.bytes();
}

template <class Kind>
void run_layer(const LayerWeights& weights, const Batch& batch, const float* x, float* out, void* memory) {
    Scratch scratch(memory);
    Layer<Kind>(weights, batch, scratch).run(batch, x, out);
}

}  // namespace
}  // namespace rerank
