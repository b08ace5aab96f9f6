// AVX-512 with VNNI: attention in floats. Intel from Cascade Lake and Ice Lake on.
#include "core/engine.hpp"
#include "fast/attention_fp32.hpp"
#include "fast/first_rows.hpp"
#include "fast/layer.hpp"

namespace rerank {

const Engine avx512_engine = {
    "avx512",           InstructionSet::kAvx512, false, layer_scratch<Fp32Kind>, run_layer<Fp32Kind>,
    first_rows_scratch, run_first_rows,
};

}  // namespace rerank
