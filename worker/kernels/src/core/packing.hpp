// The packed order of int8 weights. See core/weights.hpp.
#pragma once

#include "core/weights.hpp"

namespace rerank {

inline bool can_pack(int64_t k, int64_t n) {
    return k > 0 && n > 0 && k % kBlockK == 0 && n % kBlockN == 0 && k <= kMostInner && n <= kMostInner;
}

inline void pack(const int8_t* weight, int64_t k, int64_t n, int8_t* packed) {
    for (int64_t row = 0; row < k; ++row) {
        for (int64_t column = 0; column < n; ++column)
            packed[packed_place(k, row, column)] = weight[row * n + column];
    }
}

// Whether the sum of two products with bytes always fits 16 bits.
inline bool in_seven_bits(const int8_t* weights, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        if (weights[i] < -64 || weights[i] > 64) return false;
    }
    return true;
}

inline void sum_columns(const int8_t* packed, int64_t k, int64_t n, float* sums) {
    for (int64_t column = 0; column < n; ++column) {
        int32_t total = 0;
        for (int64_t row = 0; row < k; ++row)
            total += packed[packed_place(k, row, column)];
        sums[column] = static_cast<float>(total);
    }
}

}  // namespace rerank
