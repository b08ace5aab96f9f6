// Reads the inputs and attributes of a node; what does not fit is an error in words.
#pragma once

#include <cstdarg>
#include <cstdio>

#include "abi/onnxruntime.hpp"
#include "core/shapes.hpp"

namespace rerank {

#define RERANK_TRY(expression)                               \
    do {                                                     \
        if (OrtStatus* failed = (expression)) return failed; \
    } while (false)

__attribute__((format(printf, 3, 4))) inline OrtStatus* error(const ort::Api& api, ort::ErrorCode code,
                                                              const char* format, ...) {
    char words[512];
    va_list values;
    va_start(values, format);
    std::vsnprintf(words, sizeof words, format, values);
    va_end(values);
    return api.error(code, words);
}

struct Tensor {
    int type = ort::kUndefined;
    size_t rank = 0;
    int64_t dims[8] = {};
    const void* data = nullptr;  // may be null where there are no elements
    bool present = false;

    bool is(int of_type, size_t of_rank) const { return present && type == of_type && rank == of_rank; }
    template <class Item>
    const Item* as() const {
        return static_cast<const Item*>(data);
    }
};

inline OrtStatus* read_tensor(const ort::Api& api, const OrtValue* value, Tensor* tensor) {
    OrtTensorTypeAndShapeInfo* info = nullptr;
    RERANK_TRY(api.type_and_shape(value, &info));
    OrtStatus* status = api.element_type(info, &tensor->type);
    if (!status) status = api.rank(info, &tensor->rank);
    if (!status && tensor->rank > 8)
        status = api.error(ort::kInvalidArgument, "a tensor has more than 8 dimensions");
    if (!status) status = api.dims(info, tensor->dims, tensor->rank);
    api.release(info);
    RERANK_TRY(status);
    void* data = nullptr;
    RERANK_TRY(api.data(value, &data));
    tensor->data = data;
    tensor->present = true;
    return nullptr;
}

// Reads input `index` of a run. An input that the node has not, or leaves out, is not present.
inline OrtStatus* read_input(const ort::Api& api, const OrtKernelContext* context, size_t index,
                             Tensor* tensor) {
    size_t count = 0;
    RERANK_TRY(api.input_count(context, &count));
    if (index >= count) return nullptr;
    const OrtValue* value = nullptr;
    RERANK_TRY(api.input(context, index, &value));
    return value ? read_tensor(api, value, tensor) : nullptr;
}

inline OrtStatus* read_constant(const ort::Api& api, const OrtKernelInfo* info, size_t index,
                                const char* what, Tensor* tensor) {
    int constant = 0;
    const OrtValue* value = nullptr;
    OrtStatus* status = api.constant(info, index, &constant, &value);
    if (status) api.release(status);
    if (status || !constant || !value) {
        return error(api, ort::kInvalidArgument, "input %zu (%s) is not a constant of the graph", index,
                     what);
    }
    return read_tensor(api, value, tensor);
}

// Reads a constant vector or matrix of floats with exactly these dims.
inline OrtStatus* read_floats(const ort::Api& api, const OrtKernelInfo* info, size_t index, const char* what,
                              const int64_t* dims, size_t rank, const float** data) {
    Tensor tensor;
    RERANK_TRY(read_constant(api, info, index, what, &tensor));
    bool fits = tensor.is(ort::kFloat, rank);
    for (size_t axis = 0; fits && axis < rank; ++axis)
        fits = tensor.dims[axis] == dims[axis];
    if (!fits) {
        return error(api, ort::kInvalidArgument,
                     "input %zu (%s) is not a float tensor of the shape that the others ask for", index,
                     what);
    }
    *data = tensor.as<float>();
    return nullptr;
}

}  // namespace rerank
