// Cuts a batch into groups of whole pairs, so that scratch stays small and in cache however large the batch
// is.
#pragma once

#include "core/weights.hpp"

namespace rerank {
namespace {

// As many tokens share one pass over the weights; one pair may have more.
constexpr int64_t kGroupTokens = 256;

struct Group {
    int64_t first;  // number of the first pair
    int64_t pairs;
    int64_t tokens;
    int64_t row;  // of the first pair's first token in the input
};

// Calls `visit` with each group, in order.
template <class Visit>
inline void for_each_group(const Batch& batch, int64_t most_pairs, Visit visit) {
    Group group = {0, 0, 0, 0};
    int64_t end = 0;
    for (int64_t pair = 0; pair < batch.pairs; ++pair) {
        const int64_t length = batch.lengths[pair];
        const int64_t row = batch.pitch ? pair * batch.pitch : end;
        if (group.pairs && (group.tokens + length > kGroupTokens || group.pairs == most_pairs)) {
            visit(group);
            group = {pair, 0, 0, row};
        }
        ++group.pairs;
        group.tokens += length;
        end += length;
    }
    if (group.pairs) visit(group);
}

// Calls `visit(row in the input, row in the group, length)` for each pair of a group.
template <class Visit>
inline void for_each_pair(const Batch& batch, const Group& group, Visit visit) {
    int64_t inside = 0;
    for (int64_t index = 0; index < group.pairs; ++index) {
        const int64_t length = batch.lengths[group.first + index];
        visit(group.row + (batch.pitch ? index * batch.pitch : inside), inside, length);
        inside += length;
    }
}

struct Extent {
    int64_t tokens;  // of the largest group
    int64_t length;  // of the longest pair
};

inline Extent extent_of(const Batch& batch, int64_t most_pairs) {
    Extent extent = {0, 0};
    for_each_group(batch, most_pairs, [&](const Group& group) {
        if (group.tokens > extent.tokens) extent.tokens = group.tokens;
    });
    for (int64_t pair = 0; pair < batch.pairs; ++pair) {
        if (batch.lengths[pair] > extent.length) extent.length = batch.lengths[pair];
    }
    return extent;
}

}  // namespace
}  // namespace rerank
