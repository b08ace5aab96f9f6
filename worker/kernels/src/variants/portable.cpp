// Plain C++ for any CPU: the statement that tests hold the other engines to.
#include "core/engine.hpp"
#include "portable/first_rows.hpp"
#include "portable/layer.hpp"

namespace rerank {

const Engine portable_engine = {
    "portable", InstructionSet::kPortable, false,          layer_scratch,
    run_layer,  first_rows_scratch,        run_first_rows,
};

}  // namespace rerank
