// Cuts one piece of memory into arrays that start on cache lines.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rerank {
namespace {

// With a null start nothing is cut, and `bytes` tells how much memory the same cuts need.
class Scratch {
  public:
    explicit Scratch(void* start) : start_(reinterpret_cast<uintptr_t>(start)) {}

    template <class Item>
    Item* take(int64_t count) {
        const uintptr_t place = start_ + used_;
        used_ += (static_cast<size_t>(count) * sizeof(Item) + kLine - 1) / kLine * kLine;
        return start_ ? reinterpret_cast<Item*>(place) : nullptr;
    }
    size_t bytes() const { return used_; }

  private:
    static constexpr size_t kLine = 64;
    uintptr_t start_;
    size_t used_ = 0;
};

}  // namespace
}  // namespace rerank
