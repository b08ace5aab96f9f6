// Softmax attention within one pair, for a panel of its rows at a time.
//
// The projected columns lie as [columns / kWide][tokens][kWide], in the element type of `Kind`: bf16 where
// the CPU multiplies it, float elsewhere. A head is one such block, or several. Keys are taken kWide at a
// time.
#pragma once

#include <cfloat>

#include "core/scratch.hpp"
#include "fast/panels.hpp"
#include "fast/power.hpp"

namespace rerank {
namespace {

inline int64_t key_blocks(int64_t length) {
    return (length + kWide - 1) / kWide;
}

// Where the rows of one pair lie among those of its group.
template <class Element>
struct Columns {
    Element* start;  // the pair's first row in the first block
    int64_t pitch;   // elements from one block to the next

    Element* block(int64_t block, int64_t row) const { return start + block * pitch + row * kWide; }
};

template <class Kind>
class Attention {
  public:
    using Element = typename Kind::Element;

    Attention(int64_t hidden, int64_t heads, int64_t longest, Scratch& scratch)
        : hidden_(hidden), heads_(heads), blocks_(hidden / heads / kWide) {
        const int64_t tokens = key_blocks(longest) * kWide;
        keys_ = scratch.take<uint32_t>(tokens * hidden / Kind::kInDword);
        values_ = scratch.take<uint32_t>(Kind::kPacksValues ? tokens * hidden / Kind::kInDword : 0);
        scores_ = scratch.take<float>(tokens * kPanelRows);
        weights_ = scratch.take<Element>(Kind::kPacksValues ? tokens * kPanelRows : 0);
    }

    // Writes what each row of a pair takes from all its tokens: context[length][hidden]. Heads come one by
    // one, so that the keys and values of one serve all panels from the nearest cache.
    void run(const Columns<Element>& columns, int64_t length, float* context) {
        prepare(columns, length);
        for (int64_t head = 0; head < heads_; ++head) {
            for_each_panel(length, [&](int64_t first, int rows) {
                with_rows(rows,
                          [&](auto count) { panel<count.value>(head, first, context + first * hidden_); });
            });
        }
    }

  private:
    void prepare(const Columns<Element>& columns, int64_t length) {
        columns_ = columns;
        length_ = length;
        const int64_t column_blocks = heads_ * blocks_;
        for (int64_t block = 0; block < column_blocks; ++block) {
            const int64_t head = block / blocks_;
            const int64_t inside = block % blocks_;
            for (int64_t key = 0; key < key_blocks(length); ++key) {
                uint32_t* to =
                    keys_ + head * head_size() + key * block_size() + inside * Kind::kSteps * kWide;
                Kind::pack_keys(columns.block(column_blocks + block, key * kWide), length - key * kWide, to);
            }
            Kind::pack_values(columns.block(2 * column_blocks + block, 0), length,
                              values_ + block * value_size());
        }
    }

    template <int Rows>
    __attribute__((noinline)) void panel(int64_t head, int64_t row, float* context) {
        float inverse[Rows];
        score<Rows>(head, row, inverse);
        for (int64_t inside = 0; inside < blocks_; ++inside) {
            const int64_t block = head * blocks_ + inside;
            mix<Rows>(block, inverse, context + block * kWide);
        }
    }

    int64_t block_size() const { return blocks_ * Kind::kSteps * kWide; }
    int64_t head_size() const { return key_blocks(length_) * block_size(); }
    int64_t value_size() const { return key_blocks(length_) * kWide * kWide / Kind::kInDword; }

    // Scores of all keys, then their powers of two; `inverse` is one over the sum of a row's.
    template <int Rows>
    RERANK_INLINE void score(int64_t head, int64_t row, float (&inverse)[Rows]) {
        // Finite, so that a row of NaN stays one; no score is less, and its power of two is zero.
        const Floats nothing = broadcast(-FLT_MAX);
        const int64_t last = key_blocks(length_) - 1;
        const uint32_t valid = 0xffffffffu >> (32 - (length_ - last * kWide));
        const uint32_t* keys = keys_ + head * head_size();
        Floats most[Rows];
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
            most[r] = nothing;
        for (int64_t key = 0; key <= last; ++key) {
            Floats sums[Rows][2];
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r)
                sums[r][0] = sums[r][1] = zero();
            for (int64_t inside = 0; inside < blocks_; ++inside, keys += Kind::kSteps * kWide) {
                Kind::template dot<Rows>(columns_.block(head * blocks_ + inside, row), keys, sums);
            }
            float* to = scores_ + key * Rows * kWide;
            const uint32_t mask = key == last ? valid : 0xffffffffu;
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) {
                const Floats a = select(mask, sums[r][0], nothing);
                const Floats b = select(mask >> kLanes, sums[r][1], nothing);
                store(to + r * kWide, a);
                store(to + r * kWide + kLanes, b);
                most[r] = larger(most[r], larger(a, b));
            }
        }
        for (int r = 0; r < Rows; ++r) {
            const Floats greatest_score = broadcast(greatest(most[r]));
            Floats total = zero();
            for (int64_t key = 0; key <= last; ++key) {
                float* from = scores_ + (key * Rows + r) * kWide;
                const Floats a = Kind::power(load(from) - greatest_score);
                const Floats b = Kind::power(load(from + kLanes) - greatest_score);
                total = total + (a + b);
                Kind::store(weights(key * Rows + r), a, b);
            }
            inverse[r] = 1.0f / sum(total);
        }
    }

    template <int Rows>
    RERANK_INLINE void mix(int64_t block, const float (&inverse)[Rows], float* context) {
        Floats sums[Rows][2];
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
            sums[r][0] = sums[r][1] = zero();
        const void* values = Kind::kPacksValues ? static_cast<const void*>(values_ + block * value_size())
                                                : columns_.block(2 * heads_ * blocks_ + block, 0);
        Kind::template mix<Rows>(weights(0), values, length_, sums);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
            const Floats factor = broadcast(inverse[r]);
            store(context + r * hidden_, sums[r][0] * factor);
            store(context + r * hidden_ + kLanes, sums[r][1] * factor);
        }
    }

    // Weights of kWide keys for one row; floats take the place of the scores.
    Element* weights(int64_t line) {
        return (Kind::kPacksValues ? weights_ : reinterpret_cast<Element*>(scores_)) + line * kWide;
    }

    int64_t hidden_;
    int64_t heads_;
    int64_t blocks_;  // of kWide columns in a head
    int64_t length_ = 0;
    Columns<Element> columns_ = {};
    uint32_t* keys_;    // [heads][keys / kWide][blocks * steps][kWide]
    uint32_t* values_;  // [heads * blocks][keys / 2][kWide]
    float* scores_;     // [keys / kWide][rows][kWide]
    Element* weights_;  // the same
};

}  // namespace
}  // namespace rerank
