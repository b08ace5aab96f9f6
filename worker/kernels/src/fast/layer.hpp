// One encoder layer over a batch.
//
// Each phase goes over all panels of a group before the next begins, so that its weights stay in the
// second-level cache.
#pragma once

#include "core/groups.hpp"
#include "core/scratch.hpp"
#include "fast/activation.hpp"
#include "fast/attention.hpp"
#include "fast/norm.hpp"
#include "fast/product.hpp"

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
            for_each_group_panel(batch, group, [&](auto count, int64_t row, int64_t inside) {
                project<count.value>(x + row * hidden(), inside);
            });
            attend(batch, group);
            for_each_group_panel(batch, group, [&](auto count, int64_t row, int64_t inside) {
                join<count.value>(x + row * hidden(), inside);
            });
            for_each_group_panel(batch, group,
                                 [&](auto count, int64_t, int64_t inside) { widen<count.value>(inside); });
            for_each_group_panel(batch, group, [&](auto count, int64_t row, int64_t inside) {
                narrow<count.value>(inside, out + row * hidden());
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
        columns_ = scratch.take<Element>(3 * hidden * tokens_);
        attended_ = scratch.take<float>(tokens_ * hidden);
        rows_ = take_rows(scratch, tokens_, hidden);
        wide_ = scratch.take<float>(kPanelRows * inner);
        wide_rows_ = take_rows(scratch, tokens_, inner);
    }

    static LeftRows take_rows(Scratch& scratch, int64_t rows, int64_t k) {
        return {scratch.take<uint8_t>(rows * k), scratch.take<float>(rows), scratch.take<float>(rows)};
    }

    int64_t hidden() const { return weights_.shape.hidden; }
    int64_t pitch() const { return tokens_ * kWide; }

    // Calls `visit(rows as a constant, first row in the input, first row in the group)` for each panel.
    template <class Visit>
    static void for_each_group_panel(const Batch& batch, const Group& group, Visit visit) {
        for_each_pair(batch, group, [&](int64_t row, int64_t inside, int64_t length) {
            for_each_panel(length, [&](int64_t first, int rows) {
                with_rows(rows, [&](auto count) { visit(count, row + first, inside + first); });
            });
        });
    }

    // Attention leaves its result where the rows it becomes will stand.
    void attend(const Batch& batch, const Group& group) {
        for_each_pair(batch, group, [&](int64_t, int64_t inside, int64_t length) {
            attention_.run({columns_ + inside * kWide, pitch()}, length, attended_ + inside * hidden());
        });
    }

    // Queries, keys and values of a panel.
    template <int Rows>
    __attribute__((noinline)) void project(const float* x, int64_t row) {
        const Product& product = weights_.qkv;
        const LeftRows left = rows_.at(row, hidden());
        quantise_rows<Rows>(x, product, left);
        multiply<Rows>(left, product, [&](int r, int64_t column, Floats a, Floats b) RERANK_LAMBDA {
            Kind::store(columns_ + column / kWide * pitch() + (row + r) * kWide, a, b);
        });
    }

    // LN(attention * Wo + x), and its quantised form.
    template <int Rows>
    __attribute__((noinline)) void join(const float* x, int64_t row) {
        float* attended = attended_ + row * hidden();
        const LeftRows left = rows_.at(row, hidden());
        quantise_rows<Rows>(attended, weights_.out, left);
        multiply<Rows>(left, weights_.out, adding(x, attended));
        normalise<Rows>(attended, hidden(), weights_.attention_norm);
        quantise_rows<Rows>(attended, weights_.up, left);
    }

    // The activation of attended * Wup, in its quantised form.
    template <int Rows>
    void widen(int64_t row) {
        with_activation(weights_.shape.activation, [&](auto activation) { widen<Rows>(row, activation); });
    }

    template <int Rows, class Function>
    __attribute__((noinline)) void widen(int64_t row, Function activation) {
        const int64_t inner = weights_.shape.inner;
        const float* smoothing = weights_.down.smoothing;
        Range ranges[Rows];
        multiply<Rows>(rows_.at(row, hidden()), weights_.up,
                       [&](int r, int64_t column, Floats a, Floats b) RERANK_LAMBDA {
                           a = activation(a);
                           b = activation(b);
                           if (smoothing) {
                               a = a * load(smoothing + column);
                               b = b * load(smoothing + column + kLanes);
                           }
                           ranges[r].add(a);
                           ranges[r].add(b);
                           store(wide_ + r * inner + column, a);
                           store(wide_ + r * inner + column + kLanes, b);
                       });
        const LeftRows left = wide_rows_.at(row, inner);
        for (int r = 0; r < Rows; ++r)
            quantise(wide_ + r * inner, nullptr, inner, row_steps(weights_.down), ranges[r], left, Rows, r);
    }

    // LN(wide * Wdown + attended).
    template <int Rows>
    __attribute__((noinline)) void narrow(int64_t row, float* out) {
        const float* attended = attended_ + row * hidden();
        multiply<Rows>(wide_rows_.at(row, weights_.shape.inner), weights_.down, adding(attended, out));
        normalise<Rows>(out, hidden(), weights_.output_norm);
    }

    template <int Rows>
    static void quantise_rows(const float* rows, const Product& product, const LeftRows& left) {
        Range ranges[Rows];
        for (int r = 0; r < Rows; ++r)
            ranges[r] = range_of(rows + r * product.k, product.smoothing, product.k);
        for (int r = 0; r < Rows; ++r) {
            quantise(rows + r * product.k, product.smoothing, product.k, row_steps(product), ranges[r], left,
                     Rows, r);
        }
    }

    // Stores a product with the residual added.
    auto adding(const float* residual, float* to) const {
        const int64_t pitch = hidden();
        return [=](int r, int64_t column, Floats a, Floats b) RERANK_LAMBDA {
            const int64_t place = r * pitch + column;
            store_unaligned(to + place, a + load_unaligned(residual + place));
            store_unaligned(to + place + kLanes, b + load_unaligned(residual + place + kLanes));
        };
    }

    const LayerWeights& weights_;
    int64_t tokens_;  // of the largest group
    Attention<Kind> attention_;
    Element* columns_;    // [3H / kWide][tokens][kWide] queries, keys and values
    float* attended_;     // [tokens][H]
    LeftRows rows_;       // [tokens] rows of H, what the product at work takes
    float* wide_;         // [kPanelRows][F]
    LeftRows wide_rows_;  // [tokens] rows of F
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
