#include "ops/layer_weights.hpp"

#include <cmath>
#include <cstring>

#include "core/packing.hpp"
#include "ops/kernels.hpp"

namespace rerank {

struct OwnedLayer::Source {
    const char* name;
    size_t index;  // of the weight; scale and bias follow it
    int64_t k;     // 0: any
    int64_t n;     // 0: any
};

namespace {

long long wide(int64_t value) {
    return value;
}

OrtStatus* no_memory(const ort::Api& api, const char* what) {
    return error(api, ort::kFail, "not enough memory for the layer's %s", what);
}

OrtStatus* read_activation(const ort::Api& api, const OrtKernelInfo* info, Activation* activation) {
    char name[32] = {};
    size_t size = sizeof name;
    OrtStatus* status = api.attribute(info, "activation", name, &size);
    if (!status && std::strcmp(name, "gelu") == 0)
        *activation = Activation::kGelu;
    else if (!status && std::strcmp(name, "gelu_tanh") == 0)
        *activation = Activation::kGeluTanh;
    else if (!status && std::strcmp(name, "relu") == 0)
        *activation = Activation::kRelu;
    else {
        if (status) api.release(status);
        return api.error(ort::kInvalidArgument, "attribute `activation` is none of gelu, gelu_tanh, relu");
    }
    return nullptr;
}

// Finds k and n of a weight in either form.
bool matrix_dims(const Tensor& tensor, int64_t* k, int64_t* n) {
    if (tensor.is(ort::kInt8, 2)) {
        *k = tensor.dims[0];
        *n = tensor.dims[1];
        return true;
    }
    *k = tensor.dims[1] * kBlockK;
    *n = tensor.dims[0] * kBlockN;
    return tensor.is(ort::kInt8, 4) && tensor.dims[2] == kBlockK / 4 && tensor.dims[3] == kBlockN * 4;
}

}  // namespace

OrtStatus* OwnedLayer::read(const ort::Api& api, const OrtKernelInfo* info, const char* smoothed) {
    RERANK_TRY(read_shape(api, info));
    const int64_t hidden = weights.shape.hidden;
    const int64_t inner = weights.shape.inner;
    RERANK_TRY(read_product(api, info, {"qkv", 1, hidden, 3 * hidden}, &weights.qkv));
    RERANK_TRY(read_product(api, info, {"attention output", 4, hidden, hidden}, &weights.out));
    RERANK_TRY(read_norm(api, info, 7, &weights.attention_norm));
    RERANK_TRY(read_product(api, info, {"up", 9, hidden, inner}, &weights.up));
    RERANK_TRY(read_product(api, info, {"down", 12, inner, hidden}, &weights.down));
    RERANK_TRY(read_norm(api, info, 15, &weights.output_norm));
    size_t index = 17;
    const struct {
        char letter;
        Product* product;
    } all[] = {{'q', &weights.qkv}, {'o', &weights.out}, {'u', &weights.up}, {'d', &weights.down}};
    for (const auto& one : all) {
        if (!std::strchr(smoothed, one.letter)) continue;
        RERANK_TRY(copy(api, info, index++, "smoothing", one.product->k, &one.product->smoothing));
    }
    scale_queries();
    return nullptr;
}

OrtStatus* OwnedLayer::read_shape(const ort::Api& api, const OrtKernelInfo* info) {
    LayerShape& shape = weights.shape;
    RERANK_TRY(api.attribute(info, "heads", &shape.heads));
    RERANK_TRY(read_activation(api, info, &shape.activation));
    RERANK_TRY(api.attribute(info, "attention_epsilon", &weights.attention_norm.epsilon));
    RERANK_TRY(api.attribute(info, "output_epsilon", &weights.output_norm.epsilon));
    Tensor up;
    RERANK_TRY(read_constant(api, info, 9, "up weight", &up));
    if (!matrix_dims(up, &shape.hidden, &shape.inner)) {
        return api.error(ort::kInvalidArgument,
                         "input 9 (up weight) is neither int8 [K, N] nor packed [N/32, K/64, 16, 128]");
    }
    const int64_t hidden = shape.hidden;
    const bool fits = hidden > 0 && hidden <= kMostHidden && hidden % kBlockK == 0 && shape.inner > 0 &&
                      shape.inner <= kMostInner && shape.inner % kBlockK == 0 && shape.heads > 0 &&
                      shape.heads <= hidden && hidden % (shape.heads * 32) == 0;
    if (fits) return nullptr;
    return error(api, ort::kNotImplemented,
                 "hidden size %lld with %lld heads and inner size %lld: the kernels take hidden sizes that "
                 "are multiples "
                 "of 64 up to %lld, heads whose width is a multiple of 32, and inner sizes that are "
                 "multiples of 64 up to "
                 "%lld",
                 wide(hidden), wide(shape.heads), wide(shape.inner), wide(kMostHidden), wide(kMostInner));
}

OrtStatus* OwnedLayer::read_product(const ort::Api& api, const OrtKernelInfo* info, const Source& source,
                                    Product* product) {
    product->k = source.k;
    product->n = source.n;
    RERANK_TRY(read_weight(api, info, source, product));
    RERANK_TRY(copy(api, info, source.index + 1, "scale", source.n, &product->scale));
    RERANK_TRY(copy(api, info, source.index + 2, "bias", source.n, &product->bias));
    Memory& sums = kept_[used_++];
    if (!sums.allocate(static_cast<size_t>(source.n) * sizeof(float)))
        return no_memory(api, "sums of weights");
    sum_columns(product->packed, source.k, source.n, sums.as<float>());
    product->column_sum = sums.as<float>();
    if (engine().sums_in_16_bits) product->largest_four = largest_four(product->packed, source.k, source.n);
    return nullptr;
}

OrtStatus* OwnedLayer::read_weight(const ort::Api& api, const OrtKernelInfo* info, const Source& source,
                                   Product* product) {
    Tensor tensor;
    RERANK_TRY(read_constant(api, info, source.index, source.name, &tensor));
    int64_t k = 0;
    int64_t n = 0;
    if (!matrix_dims(tensor, &k, &n) || k != source.k || n != source.n) {
        return error(api, ort::kInvalidArgument,
                     "input %zu (%s weight) is neither int8 [%lld, %lld] nor packed [%lld, %lld, 16, 128]",
                     source.index, source.name, wide(source.k), wide(source.n), wide(source.n / kBlockN),
                     wide(source.k / kBlockK));
    }
    if (tensor.rank == 4) {
        if (reinterpret_cast<uintptr_t>(tensor.data) % 64 != 0) {
            return error(api, ort::kInvalidArgument,
                         "input %zu (%s weight) is packed and not aligned to 64 bytes", source.index,
                         source.name);
        }
        product->packed = tensor.as<int8_t>();
        return nullptr;
    }
    Memory& packed = kept_[used_++];
    if (!packed.allocate(static_cast<size_t>(k) * static_cast<size_t>(n))) return no_memory(api, "weights");
    pack(tensor.as<int8_t>(), k, n, packed.as<int8_t>());
    product->packed = packed.as<int8_t>();
    return nullptr;
}

OrtStatus* OwnedLayer::read_norm(const ort::Api& api, const OrtKernelInfo* info, size_t index, Norm* norm) {
    RERANK_TRY(copy(api, info, index, "norm weight", weights.shape.hidden, &norm->weight));
    return copy(api, info, index + 1, "norm bias", weights.shape.hidden, &norm->bias);
}

OrtStatus* OwnedLayer::copy(const ort::Api& api, const OrtKernelInfo* info, size_t index, const char* what,
                            int64_t count, const float** kept) {
    const float* data = nullptr;
    RERANK_TRY(read_floats(api, info, index, what, &count, 1, &data));
    Memory& memory = kept_[used_++];
    const size_t bytes = static_cast<size_t>(count) * sizeof(float);
    if (!memory.allocate(bytes)) return no_memory(api, what);
    std::memcpy(memory.as<float>(), data, bytes);
    *kept = memory.as<float>();
    return nullptr;
}

void OwnedLayer::scale_queries() {
    const int64_t hidden = weights.shape.hidden;
    const auto width = static_cast<double>(hidden / weights.shape.heads);
    const auto factor = static_cast<float>(1.4426950408889634 / std::sqrt(width));
    // Both point into memory that this object owns.
    auto* scale = const_cast<float*>(weights.qkv.scale);
    auto* bias = const_cast<float*>(weights.qkv.bias);
    for (int64_t n = 0; n < hidden; ++n) {
        scale[n] *= factor;
        bias[n] *= factor;
    }
}

}  // namespace rerank
