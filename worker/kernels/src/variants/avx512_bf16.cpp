// AVX-512 with VNNI and BF16: attention in bf16. AMD from Zen 4 on, Intel Cooper Lake and from Sapphire
// Rapids on.
#include "core/engine.hpp"
#include "fast/attention_bf16.hpp"
#include "fast/first_rows.hpp"
#include "fast/layer.hpp"

namespace rerank {

const Engine avx512_bf16_engine = {
    "avx512-bf16",       InstructionSet::kAvx512Bf16, false,          layer_scratch<Bf16Kind>,
    run_layer<Bf16Kind>, first_rows_scratch,          run_first_rows,
};

}  // namespace rerank
