// Owned memory that starts on a cache line. Too little memory is a state, not an exception.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace rerank {

class Memory {
  public:
    Memory() = default;
    ~Memory() { std::free(start_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    // Returns whether there was enough. What was held before is given back.
    bool allocate(size_t bytes) {
        std::free(start_);
        start_ = nullptr;
        if (bytes > SIZE_MAX - kLine) return false;
        start_ = std::aligned_alloc(kLine, (bytes + kLine) / kLine * kLine);
        return start_ != nullptr;
    }

    template <class Item>
    Item* as() const {
        return static_cast<Item*>(start_);
    }

  private:
    static constexpr size_t kLine = 64;
    void* start_ = nullptr;
};

// Like new and delete, but null where memory is short, and without the C++ runtime: a library that needs none
// loads wherever the C library does.
template <class Object, class... Values>
Object* make(const Values&... values) {
    void* place = std::malloc(sizeof(Object));
    return place ? new (place) Object(values...) : nullptr;
}

template <class Object>
void discard(Object* object) {
    if (!object) return;
    object->~Object();
    std::free(object);
}

}  // namespace rerank
