// How the rows of x belong to pairs, from its dims and the input `lengths`.
#pragma once

#include "core/lent.hpp"
#include "ops/tensors.hpp"

namespace rerank {

// One run's x and lengths. `only` holds the length where the input is left out, so the object must stay in
// place.
struct Input {
    const float* x = nullptr;
    size_t rank = 0;
    int64_t dims[3] = {};
    int64_t rows = 0;    // of x, padding included
    int64_t tokens = 0;  // of all pairs
    int32_t only = 0;
    Batch batch = {};
};

inline OrtStatus* check_lengths(const ort::Api& api, const Input& input, int64_t most) {
    for (int64_t pair = 0; pair < input.batch.pairs; ++pair) {
        const int32_t length = input.batch.lengths[pair];
        if (length < 1 || length > most) {
            return error(api, ort::kInvalidArgument, "pair %lld has %d tokens; 1 to %lld are possible",
                         static_cast<long long>(pair), length, static_cast<long long>(most));
        }
    }
    return nullptr;
}

inline OrtStatus* read_lengths(const ort::Api& api, const OrtKernelContext* context, size_t index,
                               Input* input) {
    Tensor lengths;
    RERANK_TRY(read_input(api, context, index, &lengths));
    const bool one_block = input->rank == 2 || input->dims[0] == 1;
    if (!lengths.present) {
        if (!one_block)
            return api.error(ort::kInvalidArgument, "x has several pairs, and input `lengths` is missing");
        if (input->rows > kMostTokens)
            input->only = INT32_MAX;
        else
            input->only = static_cast<int32_t>(input->rows);
        input->batch = {1, &input->only, 0};
        return nullptr;
    }
    if (!lengths.is(ort::kInt32, 1))
        return api.error(ort::kInvalidArgument, "`lengths` is not a vector of int32");
    const int64_t pairs = lengths.dims[0];
    if (pairs < 1) return api.error(ort::kInvalidArgument, "`lengths` names no pair");
    const bool padded = input->rank == 3 && pairs == input->dims[0];
    if (!padded && !one_block) {
        return error(api, ort::kInvalidArgument, "x holds %lld pairs, and `lengths` names %lld",
                     static_cast<long long>(input->dims[0]), static_cast<long long>(pairs));
    }
    input->batch = {pairs, lengths.as<int32_t>(), padded ? input->dims[1] : 0};
    return nullptr;
}

// Reads input 0 as rows of `hidden` floats, and the lengths of its pairs from input `lengths_index`.
inline OrtStatus* read_rows(const ort::Api& api, const OrtKernelContext* context, int64_t hidden,
                            size_t lengths_index, Input* input) {
    Tensor x;
    RERANK_TRY(read_input(api, context, 0, &x));
    const bool fits = x.is(ort::kFloat, 2) || x.is(ort::kFloat, 3);
    if (!fits || x.dims[x.rank - 1] != hidden) {
        return error(api, ort::kInvalidArgument,
                     "x is not a float tensor of 2 or 3 dimensions, the last of them %lld",
                     static_cast<long long>(hidden));
    }
    input->x = x.as<float>();
    input->rank = x.rank;
    input->rows = 1;
    for (size_t axis = 0; axis < x.rank; ++axis) {
        input->dims[axis] = x.dims[axis];
        if (axis + 1 < x.rank) input->rows *= x.dims[axis];
    }
    RERANK_TRY(read_lengths(api, context, lengths_index, input));
    const Batch& batch = input->batch;
    RERANK_TRY(
        check_lengths(api, *input, batch.pitch && batch.pitch < kMostTokens ? batch.pitch : kMostTokens));
    for (int64_t pair = 0; pair < batch.pairs; ++pair)
        input->tokens += batch.lengths[pair];
    if (!batch.pitch && input->tokens != input->rows) {
        return error(api, ort::kInvalidArgument, "x has %lld rows, and the lengths add up to %lld",
                     static_cast<long long>(input->rows), static_cast<long long>(input->tokens));
    }
    return nullptr;
}

// One run of an operator: its rows, where its output goes, and its scratch.
struct Run {
    Input input;
    float* out = nullptr;
    Lent scratch;
};

// Makes output 0 with these dims, and so many bytes of scratch, for the rows that have been read. `op` names
// the operator in errors.
inline OrtStatus* allocate(const ort::Api& api, OrtKernelContext* context, const char* op,
                           const int64_t* dims, size_t rank, size_t scratch, Run* run) {
    OrtValue* value = nullptr;
    RERANK_TRY(api.output(context, 0, dims, rank, &value));
    void* data = nullptr;
    RERANK_TRY(api.data(value, &data));
    run->out = static_cast<float*>(data);
    if (!run->scratch.take(scratch))
        return error(api, ort::kFail, "%s: not enough memory for this run", op);
    return nullptr;
}

}  // namespace rerank
