// What an instruction set provides: plain functions over plain data.
//
// An engine is one translation unit, compiled for its instruction set. Such a unit must export nothing but
// its table: an inline function that two units share would be kept by the linker in one form only, perhaps in
// that of the unit with more instructions, and code that only asks whether the CPU has them would crash. So
// all functions of an engine's headers stand in unnamed namespaces, and no template of the standard library
// is used there.
#pragma once

#include "core/weights.hpp"

namespace rerank {

enum class InstructionSet { kPortable, kAvx2, kAvx512, kAvx512Bf16 };

struct Engine {
    const char* name;
    InstructionSet needs;
    bool sums_in_16_bits;  // it reads Product::largest_four

    // Bytes of scratch, aligned to 64, that a run of this batch wants. It grows with the longest pair, not
    // the batch.
    size_t (*layer_scratch)(const LayerWeights& weights, const Batch& batch);
    // Input and output may have any alignment. Rows of the output that belong to no pair are not touched.
    void (*layer)(const LayerWeights& weights, const Batch& batch, const float* x, float* out, void* scratch);

    size_t (*first_rows_scratch)(const FirstRowsWeights& weights, const Batch& batch);
    void (*first_rows)(const FirstRowsWeights& weights, const Batch& batch, const float* x, float* out,
                       void* scratch);
};

extern const Engine portable_engine;
extern const Engine avx2_engine;
extern const Engine avx512_engine;
extern const Engine avx512_bf16_engine;

}  // namespace rerank
