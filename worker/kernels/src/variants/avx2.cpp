// AVX2 with FMA: attention in floats. Nearly every x86-64 CPU in service: Intel from Haswell on, AMD from Zen
// on.
#include "core/engine.hpp"
#include "fast/attention_fp32.hpp"
#include "fast/first_rows.hpp"
#include "fast/layer.hpp"

namespace rerank {

const Engine avx2_engine = {
    "avx2",
    InstructionSet::kAvx2,
    true,
    layer_scratch<Fp32Kind>,
    run_layer<Fp32Kind>,
    first_rows_scratch,
    run_first_rows,
};

}  // namespace rerank
