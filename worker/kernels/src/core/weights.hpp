// The weights of the operators, as the kernels read them. Nothing here owns memory; ops/ does.
//
// Vectors are aligned to 64 bytes. Packed weights lie as [n / 32][k / 4][32][4]: 32 columns are multiplied at
// a time, and the four neighbours in k that one multiply-add instruction sums are neighbours in memory.
#pragma once

#include "core/shapes.hpp"

namespace rerank {

// y = x W + bias, with x quantised by row to bytes and W to signed bytes by column.
struct Product {
    int64_t k;
    int64_t n;
    const int8_t* packed;
    const float* scale;       // [n]
    const float* column_sum;  // [n] sums of the packed weights over k: what a zero point has to take back
    const float* bias;        // [n]
    int32_t largest_four;     // see largest_four() in core/packing.hpp
    const float* smoothing;   // [k] factors of x before it is quantised, or null
};

struct Norm {
    const float* weight;
    const float* bias;
    float epsilon;
};

struct LayerWeights {
    LayerShape shape;
    Product qkv;  // columns of the query are scaled by log2(e) / sqrt(width): softmax then is a power of two
    Product out;
    Norm attention_norm;
    Product up;
    Product down;
    Norm output_norm;
};

struct FirstRowsWeights {
    FirstRowsShape shape;
    const float* query;  // [H, H]
    const float* bias;   // [H]
    const float* key;    // [heads, width, H]
};

// Where the weight of row k and column n lies in packed weights of `rows` rows.
static constexpr int64_t packed_place(int64_t rows, int64_t k, int64_t n) {
    return (n / kBlockN) * rows * kBlockN + (k / 4) * kBlockN * 4 + (n % kBlockN) * 4 + k % 4;
}

}  // namespace rerank
