// Made-up numbers: the same on every machine for the same seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace rerank::fuzz {

class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 2654435761u + 1) {}

    uint32_t below(uint32_t end) { return static_cast<uint32_t>((next() >> 33) % end); }
    int64_t between(int64_t first, int64_t last) {
        return first + below(static_cast<uint32_t>(last - first + 1));
    }
    float uniform() { return static_cast<float>(next() >> 40) / 16777216.0f - 0.5f; }
    // Nearly normal, of spread 1.
    float normal() { return (uniform() + uniform() + uniform() + uniform()) * 1.7320508f; }

  private:
    uint64_t next() {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return state_ ^ (state_ >> 29);
    }
    uint64_t state_;
};

// Memory of exactly the asked size on a cache line, so that a sanitizer sees the first byte too far.
template <class Item>
class Exact {
  public:
    explicit Exact(size_t count) : size_(count), start_(nullptr) {
        void* place = nullptr;
        if (posix_memalign(&place, 64, count * sizeof(Item) + (count == 0)) != 0) std::abort();
        start_ = static_cast<Item*>(place);
    }
    ~Exact() { std::free(start_); }
    Exact(const Exact&) = delete;
    Exact& operator=(const Exact&) = delete;

    Item* data() const { return start_; }
    size_t size() const { return size_; }
    Item& operator[](size_t index) const { return start_[index]; }

  private:
    size_t size_;
    Item* start_;
};

}  // namespace rerank::fuzz
