// The weights of an EncoderLayer node, checked and brought into the kernels' form.
#pragma once

#include "core/memory.hpp"
#include "core/weights.hpp"
#include "ops/tensors.hpp"

namespace rerank {

// Owns what the kernels read, except weights that were handed over packed: those stay where they are.
class OwnedLayer {
  public:
    // `smoothed` names the products whose inputs are smoothed: some of the letters q, o, u, d.
    OrtStatus* read(const ort::Api& api, const OrtKernelInfo* info, const char* smoothed);

    LayerWeights weights = {};

  private:
    struct Source;
    OrtStatus* read_shape(const ort::Api& api, const OrtKernelInfo* info);
    OrtStatus* read_product(const ort::Api& api, const OrtKernelInfo* info, const Source& source,
                            Product* product);
    OrtStatus* read_weight(const ort::Api& api, const OrtKernelInfo* info, const Source& source,
                           Product* product);
    OrtStatus* read_norm(const ort::Api& api, const OrtKernelInfo* info, size_t index, Norm* norm);
    OrtStatus* copy(const ort::Api& api, const OrtKernelInfo* info, size_t index, const char* what,
                    int64_t count, const float** kept);
    void scale_queries();

    // One vector or packed matrix each; more than any layer has.
    Memory kept_[32];
    int used_ = 0;
};

}  // namespace rerank
