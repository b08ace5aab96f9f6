// What the first token of each pair takes from the last layer, in floats.
#pragma once

#include "core/groups.hpp"
#include "core/scratch.hpp"
#include "fast/power.hpp"

namespace rerank {
namespace {

// A matrix whose elements lie in any regular order.
struct View {
    const float* start;
    int64_t row_pitch;
    int64_t column_pitch;
};

// to[row][column] = sum over k of left[row][k] * right[k][column], for kLanes * Vectors columns, with k in
// order.
template <int Rows, int Vectors>
RERANK_INLINE void multiply_tile(const View& left, const float* right, int64_t right_pitch, int64_t k,
                                 float* to, int64_t to_pitch) {
    Floats sums[Rows][Vectors];
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
        for (int v = 0; v < Vectors; ++v)
            sums[row][v] = zero();
    }
    const float* element = left.start;
    for (int64_t step = 0; step < k; ++step, element += left.column_pitch, right += right_pitch) {
        Floats lanes[Vectors];
        for (int v = 0; v < Vectors; ++v)
            lanes[v] = load_unaligned(right + v * kLanes);
#pragma GCC unroll 8
        for (int row = 0; row < Rows; ++row) {
            const Floats one = broadcast(element[row * left.row_pitch]);
            for (int v = 0; v < Vectors; ++v)
                sums[row][v] = multiply_add(one, lanes[v], sums[row][v]);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
        for (int v = 0; v < Vectors; ++v)
            store_unaligned(to + row * to_pitch + v * kLanes, sums[row][v]);
    }
}

// The whole product: `columns` is a multiple of kLanes * Vectors.
template <int Vectors>
inline void multiply_floats(View left, int64_t rows, const float* right, int64_t right_pitch, int64_t k,
                            int64_t columns, float* to, int64_t to_pitch) {
    for (int64_t row = 0; row < rows;) {
        const int64_t taken = rows - row >= 8 ? 8 : rows - row >= 4 ? 4 : rows - row >= 2 ? 2 : 1;
        for (int64_t column = 0; column < columns; column += kLanes * Vectors) {
            const float* lanes = right + column;
            float* place = to + row * to_pitch + column;
            switch (taken) {
                case 8:
                    multiply_tile<8, Vectors>(left, lanes, right_pitch, k, place, to_pitch);
                    break;
                case 4:
                    multiply_tile<4, Vectors>(left, lanes, right_pitch, k, place, to_pitch);
                    break;
                case 2:
                    multiply_tile<2, Vectors>(left, lanes, right_pitch, k, place, to_pitch);
                    break;
                default:
                    multiply_tile<1, Vectors>(left, lanes, right_pitch, k, place, to_pitch);
            }
        }
        row += taken;
        left.start += taken * left.row_pitch;
    }
}

// So many pairs share one pass over the weights.
constexpr int64_t kFirstRowsPairs = 8;

class FirstRows {
  public:
    FirstRows(const FirstRowsWeights& weights, const Batch& batch, Scratch& scratch)
        : weights_(weights), hidden_(weights.shape.hidden), heads_(weights.shape.heads) {
        const Extent extent = extent_of(batch, kFirstRowsPairs);
        first_ = scratch.take<float>(kFirstRowsPairs * hidden_);
        query_ = scratch.take<float>(kFirstRowsPairs * hidden_);
        absorbed_ = scratch.take<float>(kFirstRowsPairs * heads_ * hidden_);
        turned_ = scratch.take<float>(hidden_ * kLanes);
        scores_ = scratch.take<float>(extent.length * kLanes);
    }

    void run(const Batch& batch, const float* x, float* out) {
        for_each_group(batch, kFirstRowsPairs, [&](const Group& group) {
            absorb(batch, group, x);
            int64_t index = 0;
            for_each_pair(batch, group, [&](int64_t row, int64_t, int64_t length) {
                float* to = out + (group.first + index) * (heads_ + 1) * hidden_;
                attend(x + row * hidden_, length, absorbed_ + index * heads_ * hidden_, to);
                __builtin_memcpy(to + heads_ * hidden_, x + row * hidden_, sizeof(float) * hidden_);
                ++index;
            });
        });
    }

  private:
    // Each pair's query in the space of the tokens: absorbed[pair][head][H].
    void absorb(const Batch& batch, const Group& group, const float* x) {
        float* first = first_;
        for_each_pair(batch, group, [&](int64_t row, int64_t, int64_t) {
            __builtin_memcpy(first, x + row * hidden_, sizeof(float) * hidden_);
            first += hidden_;
        });
        multiply_floats<2>({first_, hidden_, 1}, group.pairs, weights_.query, hidden_, hidden_, hidden_,
                           query_, hidden_);
        for (int64_t pair = 0; pair < group.pairs; ++pair) {
            for (int64_t k = 0; k < hidden_; k += kLanes) {
                float* place = query_ + pair * hidden_ + k;
                store_unaligned(place, load_unaligned(place) + load(weights_.bias + k));
            }
        }
        const int64_t width = hidden_ / heads_;
        for (int64_t head = 0; head < heads_; ++head) {
            multiply_floats<2>({query_ + head * width, hidden_, 1}, group.pairs,
                               weights_.key + head * width * hidden_, hidden_, width, hidden_,
                               absorbed_ + head * hidden_, heads_ * hidden_);
        }
    }

    // Heads are taken kLanes at a time, one a lane.
    void attend(const float* tokens, int64_t length, const float* absorbed, float* out) {
        for (int64_t head = 0; head < heads_; head += kLanes) {
            const int64_t count = heads_ - head < kLanes ? heads_ - head : kLanes;
            turn(absorbed + head * hidden_, count);
            multiply_floats<1>({tokens, hidden_, 1}, length, turned_, kLanes, hidden_, kLanes, scores_,
                               kLanes);
            soften(length);
            multiply_floats<2>({scores_, 1, kLanes}, count, tokens, hidden_, length, hidden_,
                               out + head * hidden_, hidden_);
        }
    }

    // turned[k][lane] = absorbed[lane][k]; lanes without a head are zero.
    void turn(const float* absorbed, int64_t count) {
        for (int64_t k = 0; k < hidden_; k += kLanes) {
            Ints rows[kLanes];
            for (int lane = 0; lane < kLanes; ++lane) {
                rows[lane] = lane < count ? load_bits(absorbed + lane * hidden_ + k) : no_bits();
            }
            transpose(rows, reinterpret_cast<uint32_t*>(turned_ + k * kLanes), kLanes);
        }
    }

    // Softmax over the tokens, each lane for itself.
    void soften(int64_t length) {
        Floats most = load(scores_);
        for (int64_t token = 1; token < length; ++token) {
            most = larger(most, load(scores_ + token * kLanes));
        }
        const Floats log2e = broadcast(1.44269504f);
        Floats total = zero();
        for (int64_t token = 0; token < length; ++token) {
            float* place = scores_ + token * kLanes;
            const Floats below = (load(place) - most) * log2e;
            // Zero times an infinite distance is NaN: a token with an infinity must not just weigh nothing.
            const Floats power = multiply_add(below, zero(), exp2_fine(below));
            total = total + power;
            store(place, power);
        }
        const Floats inverse = broadcast(1.0f) / total;
        for (int64_t token = 0; token < length; ++token) {
            float* place = scores_ + token * kLanes;
            store(place, load(place) * inverse);
        }
    }

    const FirstRowsWeights& weights_;
    int64_t hidden_;
    int64_t heads_;
    float* first_;     // [pairs][H]
    float* query_;     // [pairs][H]
    float* absorbed_;  // [pairs][heads][H]
    float* turned_;    // [H][kLanes]
    float* scores_;    // [tokens][kLanes]
};

inline size_t first_rows_scratch(const FirstRowsWeights& weights, const Batch& batch) {
    Scratch scratch(nullptr);
    FirstRows rows(weights, batch, scratch);
    return scratch.bytes();
}

inline void run_first_rows(const FirstRowsWeights& weights, const Batch& batch, const float* x, float* out,
                           void* memory) {
    Scratch scratch(memory);
    FirstRows(weights, batch, scratch).run(batch, x, out);
}

}  // namespace
}  // namespace rerank
