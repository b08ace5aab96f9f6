// What this library uses of ONNX Runtime's C interface, written from its documented binary layout.
//
// ONNX Runtime hands over a table of functions that later releases only append to. Each function is called by
// its place in that table, with the types that API version 19 (ONNX Runtime 1.19) gives it.
#pragma once

#include <cstddef>
#include <cstdint>

struct OrtStatus;
struct OrtValue;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtTensorTypeAndShapeInfo;

struct OrtApiBase {
    const void* const* (*GetApi)(uint32_t version);
    const char* (*GetVersionString)();
};

// One operator: a table of what ONNX Runtime asks about it. Its layout is part of the interface.
struct OrtCustomOp {
    uint32_t version;
    void* (*CreateKernel)(const OrtCustomOp*, const void*, const OrtKernelInfo*);
    const char* (*GetName)(const OrtCustomOp*);
    const char* (*GetExecutionProviderType)(const OrtCustomOp*);
    int (*GetInputType)(const OrtCustomOp*, size_t);
    size_t (*GetInputTypeCount)(const OrtCustomOp*);
    int (*GetOutputType)(const OrtCustomOp*, size_t);
    size_t (*GetOutputTypeCount)(const OrtCustomOp*);
    void (*KernelCompute)(void*, OrtKernelContext*);
    void (*KernelDestroy)(void*);
    int (*GetInputCharacteristic)(const OrtCustomOp*, size_t);
    int (*GetOutputCharacteristic)(const OrtCustomOp*, size_t);
    int (*GetInputMemoryType)(const OrtCustomOp*, size_t);
    int (*GetVariadicInputMinArity)(const OrtCustomOp*);
    int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
    int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
    int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
    OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const void*, const OrtKernelInfo*, void**);
    OrtStatus* (*KernelComputeV2)(void*, OrtKernelContext*);
    OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, void*);
    int (*GetStartVersion)(const OrtCustomOp*);
    int (*GetEndVersion)(const OrtCustomOp*);
    // Aliasing of inputs and outputs: not used.
    void* unused[4];
};
static_assert(sizeof(OrtCustomOp) == 208 && offsetof(OrtCustomOp, CreateKernelV2) == 136 &&
                  offsetof(OrtCustomOp, GetEndVersion) == 168,
              "ONNX Runtime reads this layout");

namespace rerank::ort {

constexpr uint32_t kApiVersion = 19;

enum ErrorCode : int { kFail = 1, kInvalidArgument = 2, kNotImplemented = 9 };
enum ElementType : int { kUndefined = 0, kFloat = 1, kInt8 = 3, kInt32 = 6 };
enum Characteristic : int { kRequired = 0, kVariadic = 2 };

// The functions of the table, by name. A status of null means success; any other is owned by who got it.
class Api {
  public:
    explicit Api(const void* table) : table_(static_cast<const void* const*>(table)) {}

    OrtStatus* error(ErrorCode code, const char* words) const {
        return at<OrtStatus* (*)(ErrorCode, const char*)>(0)(code, words);
    }
    void release(OrtStatus* status) const { at<void (*)(OrtStatus*)>(93)(status); }

    OrtStatus* create_domain(const char* name, OrtCustomOpDomain** domain) const {
        return at<OrtStatus* (*)(const char*, OrtCustomOpDomain**)>(26)(name, domain);
    }
    OrtStatus* add_op(OrtCustomOpDomain* domain, const OrtCustomOp* op) const {
        return at<OrtStatus* (*)(OrtCustomOpDomain*, const OrtCustomOp*)>(27)(domain, op);
    }
    OrtStatus* add_domain(OrtSessionOptions* options, OrtCustomOpDomain* domain) const {
        return at<OrtStatus* (*)(OrtSessionOptions*, OrtCustomOpDomain*)>(28)(options, domain);
    }
    void release_domain(OrtCustomOpDomain* domain) const { at<void (*)(OrtCustomOpDomain*)>(101)(domain); }

    OrtStatus* data(const OrtValue* value, void** data) const {
        return at<OrtStatus* (*)(OrtValue*, void**)>(51)(const_cast<OrtValue*>(value), data);
    }
    OrtStatus* type_and_shape(const OrtValue* value, OrtTensorTypeAndShapeInfo** info) const {
        return at<OrtStatus* (*)(const OrtValue*, OrtTensorTypeAndShapeInfo**)>(65)(value, info);
    }
    OrtStatus* element_type(const OrtTensorTypeAndShapeInfo* info, int* type) const {
        return at<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, int*)>(60)(info, type);
    }
    OrtStatus* rank(const OrtTensorTypeAndShapeInfo* info, size_t* rank) const {
        return at<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, size_t*)>(61)(info, rank);
    }
    OrtStatus* dims(const OrtTensorTypeAndShapeInfo* info, int64_t* dims, size_t rank) const {
        return at<OrtStatus* (*)(const OrtTensorTypeAndShapeInfo*, int64_t*, size_t)>(62)(info, dims, rank);
    }
    void release(OrtTensorTypeAndShapeInfo* info) const {
        at<void (*)(OrtTensorTypeAndShapeInfo*)>(99)(info);
    }

    OrtStatus* attribute(const OrtKernelInfo* info, const char* name, float* value) const {
        return at<OrtStatus* (*)(const OrtKernelInfo*, const char*, float*)>(85)(info, name, value);
    }
    OrtStatus* attribute(const OrtKernelInfo* info, const char* name, int64_t* value) const {
        return at<OrtStatus* (*)(const OrtKernelInfo*, const char*, int64_t*)>(86)(info, name, value);
    }
    // `size` is the room in `text` and comes back as the length with the closing zero.
    OrtStatus* attribute(const OrtKernelInfo* info, const char* name, char* text, size_t* size) const {
        return at<OrtStatus* (*)(const OrtKernelInfo*, const char*, char*, size_t*)>(87)(info, name, text,
                                                                                         size);
    }
    // `value` comes back null, or `constant` zero, where the input is not a constant of the graph.
    OrtStatus* constant(const OrtKernelInfo* info, size_t index, int* constant,
                        const OrtValue** value) const {
        return at<OrtStatus* (*)(const OrtKernelInfo*, size_t, int*, const OrtValue**)>(249)(info, index,
                                                                                             constant, value);
    }

    OrtStatus* input_count(const OrtKernelContext* context, size_t* count) const {
        return at<OrtStatus* (*)(const OrtKernelContext*, size_t*)>(88)(context, count);
    }
    OrtStatus* input(const OrtKernelContext* context, size_t index, const OrtValue** value) const {
        return at<OrtStatus* (*)(const OrtKernelContext*, size_t, const OrtValue**)>(90)(context, index,
                                                                                         value);
    }
    OrtStatus* output(OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank,
                      OrtValue** value) const {
        return at<OrtStatus* (*)(OrtKernelContext*, size_t, const int64_t*, size_t, OrtValue**)>(91)(
            context, index, dims, rank, value);
    }

  private:
    template <class Function>
    Function at(int place) const {
        return reinterpret_cast<Function>(const_cast<void*>(table_[place]));
    }

    const void* const* table_;
};

}  // namespace rerank::ort
