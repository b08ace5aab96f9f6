// EncoderLayer[_SUFFIX]: one post-LayerNorm encoder layer. The suffix names the products with smoothed
// inputs.
#include <cstring>

#include "ops/batches.hpp"
#include "ops/kernels.hpp"
#include "ops/layer_weights.hpp"

namespace rerank {
namespace {

struct EncoderLayerKernel {
    EncoderLayerKernel(const ort::Api& table, size_t index) : api(table), lengths_index(index) {}
    ort::Api api;
    size_t lengths_index;
    OwnedLayer layer;
};

const char* suffix_of(const char* name) {
    const char* underscore = std::strchr(name, '_');
    return underscore ? underscore + 1 : "";
}

OrtStatus* create(const OrtCustomOp* op, const void* table, const OrtKernelInfo* info, void** kernel) {
    const ort::Api api(table);
    const char* suffix = suffix_of(static_cast<const NamedOp*>(op)->name);
    auto* made = make<EncoderLayerKernel>(api, 17 + std::strlen(suffix));
    if (!made) return api.error(ort::kFail, "not enough memory for the kernel");
    if (OrtStatus* status = made->layer.read(api, info, suffix)) {
        discard(made);
        return status;
    }
    *kernel = made;
    return nullptr;
}

// Zeros the rows of x that belong to no pair.
void clear_padding(const Input& input, int64_t hidden, float* out) {
    const Batch& batch = input.batch;
    for (int64_t pair = 0; batch.pitch && pair < batch.pairs; ++pair) {
        const int64_t length = batch.lengths[pair];
        std::memset(out + (pair * batch.pitch + length) * hidden, 0,
                    static_cast<size_t>((batch.pitch - length) * hidden) * sizeof(float));
    }
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
    const auto& self = *static_cast<const EncoderLayerKernel*>(kernel);
    const LayerWeights& weights = self.layer.weights;
    Run run;
    RERANK_TRY(read_rows(self.api, context, weights.shape.hidden, self.lengths_index, &run.input));
    const Input& input = run.input;
    RERANK_TRY(allocate(self.api, context, "EncoderLayer", input.dims, input.rank,
                        engine().layer_scratch(weights, input.batch), &run));
    clear_padding(input, weights.shape.hidden, run.out);
    engine().layer(weights, input.batch, input.x, run.out, run.scratch.start());
    return nullptr;
}

void destroy(void* kernel) {
    discard(static_cast<EncoderLayerKernel*>(kernel));
}

constexpr OrtCustomOp kOp = op_on_rows(create, compute, destroy);

}  // namespace

const NamedOp encoder_layer_ops[16] = {
    {kOp, "EncoderLayer"},      {kOp, "EncoderLayer_q"},   {kOp, "EncoderLayer_o"},
    {kOp, "EncoderLayer_qo"},   {kOp, "EncoderLayer_u"},   {kOp, "EncoderLayer_qu"},
    {kOp, "EncoderLayer_ou"},   {kOp, "EncoderLayer_qou"}, {kOp, "EncoderLayer_d"},
    {kOp, "EncoderLayer_qd"},   {kOp, "EncoderLayer_od"},  {kOp, "EncoderLayer_qod"},
    {kOp, "EncoderLayer_ud"},   {kOp, "EncoderLayer_qud"}, {kOp, "EncoderLayer_oud"},
    {kOp, "EncoderLayer_qoud"},
};

}  // namespace rerank
