// The two operators, and the engine of this library.
#pragma once

#include "abi/onnxruntime.hpp"
#include "core/engine.hpp"

namespace rerank {

// Raised with every change that changes a bit of any result. The Python package holds the same number.
constexpr int32_t kKernelVersion = 1;

// Each library is built with RERANK_ENGINE as the name of its engine's table.
inline const Engine& engine() {
    return RERANK_ENGINE;
}

// An operator with the name that ONNX Runtime knows it by.
struct NamedOp : OrtCustomOp {
    constexpr NamedOp(const OrtCustomOp& op, const char* op_name) : OrtCustomOp(op), name(op_name) {}
    const char* name;
};

// What all operators here have in common: one float input, then any number of inputs of any type, one float
// output.
constexpr OrtCustomOp op_on_rows(decltype(OrtCustomOp::CreateKernelV2) create,
                                 decltype(OrtCustomOp::KernelComputeV2) compute,
                                 decltype(OrtCustomOp::KernelDestroy) destroy) {
    OrtCustomOp op = {};
    op.CreateKernelV2 = create;
    op.KernelComputeV2 = compute;
    op.KernelDestroy = destroy;
    op.version = ort::kApiVersion;
    op.GetName = [](const OrtCustomOp* self) { return static_cast<const NamedOp*>(self)->name; };
    op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
    op.GetInputType = [](const OrtCustomOp*, size_t index) -> int {
        return index ? ort::kUndefined : ort::kFloat;
    };
    op.GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return 2; };
    op.GetInputCharacteristic = [](const OrtCustomOp*, size_t index) -> int {
        return index ? ort::kVariadic : ort::kRequired;
    };
    op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return 0; };
    op.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
    op.GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
    op.GetOutputType = [](const OrtCustomOp*, size_t) -> int { return ort::kFloat; };
    op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
    op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) -> int { return ort::kRequired; };
    op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
    op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
    op.GetStartVersion = [](const OrtCustomOp*) { return 1; };
    op.GetEndVersion = [](const OrtCustomOp*) { return 1; };
    return op;
}

// ONNX Runtime keeps pointers to these as long as any session lives, so they live as long as the library.
extern const NamedOp encoder_layer_ops[16];
extern const NamedOp first_rows_op;

}  // namespace rerank
