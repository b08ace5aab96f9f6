// FirstRows: what the first token of each pair needs of the last layer.
#include <cstring>

#include "core/memory.hpp"
#include "ops/batches.hpp"
#include "ops/kernels.hpp"

namespace rerank {
namespace {

constexpr size_t kLengthsIndex = 4;

// The graph's constants live as long as the session, so its matrices are read in place.
struct FirstRowsKernel {
    explicit FirstRowsKernel(const ort::Api& table) : api(table) {}
    ort::Api api;
    FirstRowsWeights weights = {};
    Memory bias;  // a copy, aligned
};

OrtStatus* read_weights(const OrtKernelInfo* info, FirstRowsKernel* kernel) {
    const ort::Api& api = kernel->api;
    FirstRowsShape& shape = kernel->weights.shape;
    RERANK_TRY(api.attribute(info, "heads", &shape.heads));
    Tensor query;
    RERANK_TRY(read_constant(api, info, 1, "query weight", &query));
    shape.hidden = query.rank == 2 ? query.dims[0] : 0;
    const bool fits = shape.hidden > 0 && shape.hidden <= kMostHidden && shape.hidden % 64 == 0 &&
                      shape.heads > 0 && shape.heads <= shape.hidden &&
                      shape.hidden % (shape.heads * 32) == 0;
    if (!fits) {
        return error(api, ort::kNotImplemented,
                     "hidden size %lld with %lld heads: FirstRows takes hidden sizes that are multiples of "
                     "64 up to %lld, "
                     "and heads whose width is a multiple of 32",
                     static_cast<long long>(shape.hidden), static_cast<long long>(shape.heads),
                     static_cast<long long>(kMostHidden));
    }
    const int64_t square[] = {shape.hidden, shape.hidden};
    const int64_t key[] = {shape.heads, shape.hidden / shape.heads, shape.hidden};
    const float* bias = nullptr;
    RERANK_TRY(read_floats(api, info, 1, "query weight", square, 2, &kernel->weights.query));
    RERANK_TRY(read_floats(api, info, 2, "query bias", square, 1, &bias));
    RERANK_TRY(read_floats(api, info, 3, "key", key, 3, &kernel->weights.key));
    const size_t bytes = static_cast<size_t>(shape.hidden) * sizeof(float);
    if (!kernel->bias.allocate(bytes)) return api.error(ort::kFail, "not enough memory for the query's bias");
    std::memcpy(kernel->bias.as<float>(), bias, bytes);
    kernel->weights.bias = kernel->bias.as<float>();
    return nullptr;
}

OrtStatus* create(const OrtCustomOp*, const void* table, const OrtKernelInfo* info, void** kernel) {
    const ort::Api api(table);
    auto* made = make<FirstRowsKernel>(api);
    if (!made) return api.error(ort::kFail, "not enough memory for the kernel");
    if (OrtStatus* status = read_weights(info, made)) {
        discard(made);
        return status;
    }
    *kernel = made;
    return nullptr;
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
    const auto& self = *static_cast<const FirstRowsKernel*>(kernel);
    const FirstRowsShape& shape = self.weights.shape;
    Run run;
    RERANK_TRY(read_rows(self.api, context, shape.hidden, kLengthsIndex, &run.input));
    const Input& input = run.input;
    const int64_t dims[] = {input.batch.pairs, (shape.heads + 1) * shape.hidden};
    RERANK_TRY(allocate(self.api, context, "FirstRows", dims, 2,
                        engine().first_rows_scratch(self.weights, input.batch), &run));
    engine().first_rows(self.weights, input.batch, input.x, run.out, run.scratch.start());
    return nullptr;
}

void destroy(void* kernel) {
    discard(static_cast<FirstRowsKernel*>(kernel));
}

}  // namespace

const NamedOp first_rows_op = {op_on_rows(create, compute, destroy), "FirstRows"};

}  // namespace rerank
