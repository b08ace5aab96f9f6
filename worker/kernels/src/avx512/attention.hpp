// Softmax attention within one pair, for a panel of its rows at a time.
//
// The projected columns lie as [columns / 32][tokens][32], in the element type of `Kind`: bf16 where the CPU
// multiplies it, float elsewhere. A head is one such block, or several. Keys are taken 32 at a time.
#pragma once

#include "avx512/panels.hpp"
#include "core/scratch.hpp"

namespace rerank {
namespace {

constexpr int64_t kKeys = 32;

inline int64_t key_blocks(int64_t length) {
    return (length + kKeys - 1) / kKeys;
}

// Where the rows of one pair lie among those of its group.
template <class Element>
struct Columns {
    Element* start;  // the pair's first row in the first block
    int64_t pitch;   // elements from one block to the next

    Element* block(int64_t block, int64_t row) const { return start + block * pitch + row * kKeys; }
};

template <class Kind>
class Attention {
  public:
    using Element = typename Kind::Element;

    Attention(int64_t hidden, int64_t heads, int64_t longest, Scratch& scratch)
        : hidden_(hidden), heads_(heads), blocks_(hidden / heads / kKeys) {
        const int64_t tokens = key_blocks(longest) * kKeys;
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
                    keys_ + head * head_size() + key * block_size() + inside * Kind::kSteps * kKeys;
                Kind::pack_keys(columns.block(column_blocks + block, key * kKeys), length - key * kKeys, to);
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
            mix<Rows>(block, inverse, context + block * kKeys);
        }
    }

    int64_t block_size() const { return blocks_ * Kind::kSteps * kKeys; }
    int64_t head_size() const { return key_blocks(length_) * block_size(); }
    int64_t value_size() const { return key_blocks(length_) * kKeys * kKeys / Kind::kInDword; }

    // Scores of all keys, then their powers of two; `inverse` is one over the sum of a row's.
    template <int Rows>
    RERANK_INLINE void score(int64_t head, int64_t row, float (&inverse)[Rows]) {
        // Finite, so that a row of NaN stays one; its power of two is zero.
        const Floats nothing = _mm512_set1_ps(-1e30f);
        const int64_t last = key_blocks(length_) - 1;
        const uint32_t valid = 0xffffffffu >> (kKeys - (length_ - last * kKeys));
        const uint32_t* keys = keys_ + head * head_size();
        Floats most[Rows];
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
            most[r] = nothing;
        for (int64_t key = 0; key <= last; ++key) {
            Floats sums[Rows][2];
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r)
                sums[r][0] = sums[r][1] = _mm512_setzero_ps();
            for (int64_t inside = 0; inside < blocks_; ++inside, keys += Kind::kSteps * kKeys) {
                Kind::template dot<Rows>(columns_.block(head * blocks_ + inside, row), keys, sums);
            }
            float* to = scores_ + key * Rows * kKeys;
            const uint32_t mask = key == last ? valid : 0xffffffffu;
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) {
                const Floats a = _mm512_mask_mov_ps(nothing, static_cast<__mmask16>(mask), sums[r][0]);
                const Floats b = _mm512_mask_mov_ps(nothing, static_cast<__mmask16>(mask >> 16), sums[r][1]);
                _mm512_store_ps(to + r * kKeys, a);
                _mm512_store_ps(to + r * kKeys + 16, b);
                most[r] = _mm512_max_ps(most[r], _mm512_max_ps(a, b));
            }
        }
        for (int r = 0; r < Rows; ++r) {
            const Floats greatest_score = _mm512_set1_ps(greatest(most[r]));
            Floats total = _mm512_setzero_ps();
            for (int64_t key = 0; key <= last; ++key) {
                float* from = scores_ + (key * Rows + r) * kKeys;
                const Floats a = Kind::power(_mm512_sub_ps(_mm512_load_ps(from), greatest_score));
                const Floats b = Kind::power(_mm512_sub_ps(_mm512_load_ps(from + 16), greatest_score));
                total = _mm512_add_ps(total, _mm512_add_ps(a, b));
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
            sums[r][0] = sums[r][1] = _mm512_setzero_ps();
        const void* values = Kind::kPacksValues ? static_cast<const void*>(values_ + block * value_size())
                                                : columns_.block(2 * heads_ * blocks_ + block, 0);
        Kind::template mix<Rows>(weights(0), values, length_, sums);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
            const Floats factor = _mm512_set1_ps(inverse[r]);
            _mm512_store_ps(context + r * hidden_, _mm512_mul_ps(sums[r][0], factor));
            _mm512_store_ps(context + r * hidden_ + 16, _mm512_mul_ps(sums[r][1], factor));
        }
    }

    // Weights of 32 keys for one row; floats take the place of the scores.
    Element* weights(int64_t line) {
        return (Kind::kPacksValues ? weights_ : reinterpret_cast<Element*>(scores_)) + line * kKeys;
    }

    int64_t hidden_;
    int64_t heads_;
    int64_t blocks_;  // of 32 columns in a head
    int64_t length_ = 0;
    Columns<Element> columns_ = {};
    uint32_t* keys_;    // [heads][keys / 32][blocks * steps][32]
    uint32_t* values_;  // [heads * blocks][keys / 2][32]
    float* scores_;     // [keys / 32][rows][32]
    Element* weights_;  // the same
};

}  // namespace
}  // namespace rerank
