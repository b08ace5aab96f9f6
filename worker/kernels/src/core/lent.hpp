// Memory that is lent for a run. One piece is kept for the next run, whichever thread has it: the runs of a
// process come in many sizes, and pieces of all of them would leave holes in the heap as large as themselves.
#pragma once

#include <atomic>
#include <cstddef>

#include "core/memory.hpp"

namespace rerank {

class Lent {
  public:
    Lent() = default;
    ~Lent() {
        if (piece_) discard(kept().exchange(piece_, std::memory_order_acq_rel));
    }
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;

    // Takes the kept piece if it is large enough, else a new one. Returns whether there was enough memory.
    bool take(size_t bytes) {
        piece_ = kept().exchange(nullptr, std::memory_order_acq_rel);
        if (piece_ && piece_->bytes >= bytes) return true;
        discard(piece_);
        piece_ = make<Piece>();
        if (piece_ && bytes <= SIZE_MAX - kStep) {
            piece_->bytes = (bytes / kStep + 1) * kStep;
            if (piece_->memory.allocate(piece_->bytes)) return true;
        }
        discard(piece_);
        piece_ = nullptr;
        return false;
    }

    void* start() const { return piece_->memory.as<void>(); }

  private:
    // Sizes are rounded up to this, so that a run that is a little larger finds room.
    static constexpr size_t kStep = size_t{1} << 18;

    struct Piece {
        size_t bytes = 0;
        Memory memory;
    };

    // It lasts until the process ends.
    static std::atomic<Piece*>& kept() {
        static std::atomic<Piece*> piece{nullptr};
        return piece;
    }

    Piece* piece_ = nullptr;
};

}  // namespace rerank
