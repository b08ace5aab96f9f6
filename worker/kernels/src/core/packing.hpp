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

inline void sum_columns(const int8_t* packed, int64_t k, int64_t n, float* sums) {
    for (int64_t column = 0; column < n; ++column) {
        int32_t total = 0;
        for (int64_t row = 0; row < k; ++row)
            total += packed[packed_place(k, row, column)];
        sums[column] = static_cast<float>(total);
    }
}

// Where sums have 16 bits, four products share one: of rows 8i, 8i + 1, 8i + 4, 8i + 5, and of those two rows
// later. Returns the largest sum, without its sign, that any such four weights reach when each is taken once
// or left out: no sum is larger than this, times the largest byte.
inline int32_t largest_four(const int8_t* packed, int64_t k, int64_t n) {
    int32_t largest = 1;
    for (int64_t row = 0; row < k; row += row % 4 ? 6 : 2) {
        for (int64_t column = 0; column < n; ++column) {
            int32_t positive = 0;
            int32_t negative = 0;
            for (int64_t i = 0; i < 4; ++i) {
                const int32_t weight = packed[packed_place(k, row + i % 2 + i / 2 * 4, column)];
                positive += weight > 0 ? weight : 0;
                negative += weight < 0 ? -weight : 0;
            }
            const int32_t larger = positive > negative ? positive : negative;
            if (larger > largest) largest = larger;
        }
    }
    return largest;
}

}  // namespace rerank
