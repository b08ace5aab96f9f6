// The sizes of a layer, and which of them the kernels take.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rerank {

enum class Activation { kGelu, kGeluTanh, kRelu };

// Limits: with them no size below comes near the end of its type. The sum of 65,536 products of a byte with a
// weight still fits 32 bits.
constexpr int64_t kMostHidden = 8192;
constexpr int64_t kMostInner = 65536;
constexpr int64_t kMostTokens = 8192;  // of one pair

// Weights are packed in blocks of 64 rows (k) by 32 columns (n).
constexpr int64_t kBlockK = 64;
constexpr int64_t kBlockN = 32;

struct LayerShape {
    int64_t hidden;  // H: a multiple of 64
    int64_t heads;   // H / heads, the width of a head: a multiple of 32
    int64_t inner;   // F: a multiple of 64
    Activation activation;
};

struct FirstRowsShape {
    int64_t hidden;  // a multiple of 64
    int64_t heads;   // the width of a head: a multiple of 32
};

// Pairs of one run and how their rows lie in the input.
struct Batch {
    int64_t pairs;
    const int32_t* lengths;  // [pairs] tokens, 1 to kMostTokens
    int64_t pitch;           // rows from a pair's first to the next pair's first; 0: pairs lie end to end
};

}  // namespace rerank
