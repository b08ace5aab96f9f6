// What the library exports: its registration with ONNX Runtime, and the functions that the Python package
// calls.
#include "core/cpu.hpp"
#include "core/packing.hpp"
#include "ops/kernels.hpp"
#include "ops/tensors.hpp"

#define RERANK_EXPORT extern "C" __attribute__((visibility("default")))

namespace rerank {

namespace {

OrtStatus* make_domain(const ort::Api& api, OrtCustomOpDomain** domain) {
    RERANK_TRY(api.create_domain("rerank", domain));
    OrtStatus* status = api.add_op(*domain, &first_rows_op);
    for (const NamedOp& op : encoder_layer_ops) {
        if (!status) status = api.add_op(*domain, &op);
    }
    if (status) api.release_domain(*domain);
    return status;
}

}  // namespace
}  // namespace rerank

RERANK_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
    using namespace rerank;
    if (const void* table = base->GetApi(ort::kApiVersion)) {
        const ort::Api api(table);
        if (const char* reason = missing_instructions(engine().needs)) {
            return error(api, ort::kNotImplemented, "the kernels `%s` don't run here: %s", engine().name,
                         reason);
        }
        // The options only point to the domain, and sessions outlive the options: it is kept until the
        // process ends.
        OrtCustomOpDomain* domain = nullptr;
        RERANK_TRY(make_domain(api, &domain));
        return api.add_domain(options, domain);
    }
    // The place of the function that makes an error is the same in every release.
    return error(ort::Api(base->GetApi(1)), ort::kNotImplemented,
                 "the kernels `%s` need ONNX Runtime 1.19 or newer; this is %s", engine().name,
                 base->GetVersionString());
}

RERANK_EXPORT int32_t rerank_kernels_version() {
    return rerank::kKernelVersion;
}

RERANK_EXPORT const char* rerank_kernels_variant() {
    return rerank::engine().name;
}

// Returns null where this CPU runs the library's kernels, else what it lacks.
RERANK_EXPORT const char* rerank_kernels_missing() {
    return rerank::missing_instructions(rerank::engine().needs);
}

// Packs weights [k, n] into `packed`, which has room for k * n bytes. Returns 0, or 1 where the shape can't
// be packed: k must be a multiple of 64, n of 32.
RERANK_EXPORT int32_t rerank_kernels_pack(const int8_t* weight, int64_t k, int64_t n, int8_t* packed) {
    if (!rerank::can_pack(k, n)) return 1;
    rerank::pack(weight, k, n, packed);
    return 0;
}
