// The matrix product of bytes: a panel of rows times all columns, kWide at a time.
#pragma once

#ifdef __AVX512VNNI__
#include "fast/blocks_vnni.hpp"
#else
#include "fast/blocks_avx2.hpp"
#endif
#include "fast/quantise.hpp"

namespace rerank {
namespace {

// (sum - zero point * column's sum) * column's scale * row's scale + bias
RERANK_INLINE Floats dequantise(Ints sums, const Product& product, int64_t column, Floats scale,
                                Floats zero) {
    const Floats whole = subtract_product(zero, load(product.column_sum + column), to_floats(sums));
    return multiply_add(whole * load(product.scale + column), scale, load(product.bias + column));
}

// Calls `store(row, column, kLanes values, the next kLanes)` for each row of the panel and each kWide
// columns.
template <int Rows, class Store>
RERANK_INLINE void multiply(const LeftRows& left, const Product& product, Store store) {
    for (int64_t column = 0; column < product.n; column += kWide) {
        Ints sums[Rows][2];
        multiply_block<Rows>(left.bytes, product, column, sums);
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
            const Floats scale = broadcast(left.scale[row]);
            const Floats zero = broadcast(left.zero[row]);
            store(row, column, dequantise(sums[row][0], product, column, scale, zero),
                  dequantise(sums[row][1], product, column + kLanes, scale, zero));
        }
    }
}

}  // namespace
}  // namespace rerank
