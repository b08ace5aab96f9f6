// What the first token of each pair takes from the last layer, in floats.
#pragma once

#include "avx512/vectors.hpp"
#include "core/groups.hpp"
#include "core/scratch.hpp"

namespace rerank {
namespace {

constexpr int64_t kLanes = 16;

// A matrix whose elements lie in any regular order.
struct View {
    const float* start;
    int64_t row_pitch;
    int64_t column_pitch;
};

// to[row][column] = sum over k of left[row][k] * right[k][column], for 16 * Vectors columns, with k in order.
template <int Rows, int Vectors>
RERANK_INLINE void multiply_tile(const View& left, const float* right, int64_t right_pitch, int64_t k,
                                 float* to, int64_t to_pitch) {
    Floats sums[Rows][Vectors];
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
        for (int v = 0; v < Vectors; ++v)
            sums[row][v] = _mm512_setzero_ps();
    }
    const float* element = left.start;
    for (int64_t step = 0; step < k; ++step, element += left.column_pitch, right += right_pitch) {
        Floats lanes[Vectors];
        for (int v = 0; v < Vectors; ++v)
            lanes[v] = _mm512_loadu_ps(right + v * kLanes);
#pragma GCC unroll 8
        for (int row = 0; row < Rows; ++row) {
            const Floats one = _mm512_set1_ps(element[row * left.row_pitch]);
            for (int v = 0; v < Vectors; ++v)
                sums[row][v] = _mm512_fmadd_ps(one, lanes[v], sums[row][v]);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
        for (int v = 0; v < Vectors; ++v)
            _mm512_storeu_ps(to + row * to_pitch + v * kLanes, sums[row][v]);
    }
}

// The whole product: `columns` is a multiple of 16 * Vectors.
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
        const int64_t lanes = (heads_ + kLanes - 1) / kLanes * kLanes;
        const Extent extent = extent_of(batch, kFirstRowsPairs);
        first_ = scratch.take<float>(kFirstRowsPairs * hidden_);
        query_ = scratch.take<float>(kFirstRowsPairs * hidden_);
        absorbed_ = scratch.take<float>(kFirstRowsPairs * lanes * hidden_);
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
                _mm512_storeu_ps(place,
                                 _mm512_add_ps(_mm512_loadu_ps(place), _mm512_load_ps(weights_.bias + k)));
            }
        }
        const int64_t width = hidden_ / heads_;
        for (int64_t head = 0; head < heads_; ++head) {
            multiply_floats<2>({query_ + head * width, hidden_, 1}, group.pairs,
                               weights_.key + head * width * hidden_, hidden_, width, hidden_,
                               absorbed_ + head * hidden_, heads_ * hidden_);
        }
    }

    // Heads are taken 16 at a time, one a lane.
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
            Ints rows[16];
            for (int lane = 0; lane < kLanes; ++lane) {
                rows[lane] =
                    lane < count ? _mm512_loadu_si512(absorbed + lane * hidden_ + k) : _mm512_setzero_si512();
            }
            transpose(rows, reinterpret_cast<uint32_t*>(turned_ + k * kLanes), kLanes);
        }
    }

    // Softmax over the tokens, each lane for itself.
    void soften(int64_t length) {
        Floats most = _mm512_load_ps(scores_);
        for (int64_t token = 1; token < length; ++token) {
            most = _mm512_max_ps(most, _mm512_load_ps(scores_ + token * kLanes));
        }
        const Floats log2e = _mm512_set1_ps(1.44269504f);
        Floats total = _mm512_setzero_ps();
        for (int64_t token = 0; token < length; ++token) {
            float* place = scores_ + token * kLanes;
            const Floats below = _mm512_mul_ps(_mm512_sub_ps(_mm512_load_ps(place), most), log2e);
            // Zero times an infinite distance is NaN: a token with an infinity must not just weigh nothing.
            const Floats power = _mm512_fmadd_ps(below, _mm512_setzero_ps(), exp2_fine(below));
            total = _mm512_add_ps(total, power);
            _mm512_store_ps(place, power);
        }
        const Floats inverse = _mm512_div_ps(_mm512_set1_ps(1.0f), total);
        for (int64_t token = 0; token < length; ++token) {
            float* place = scores_ + token * kLanes;
            _mm512_store_ps(place, _mm512_mul_ps(_mm512_load_ps(place), inverse));
        }
    }

    const FirstRowsWeights& weights_;
    int64_t hidden_;
    int64_t heads_;
    float* first_;     // [pairs][H]
    float* query_;     // [pairs][H]
    float* absorbed_;  // [pairs][heads][H]
    float* turned_;    // [H][16]
    float* scores_;    // [tokens][16]
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
