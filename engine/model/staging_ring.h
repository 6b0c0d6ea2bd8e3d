// How weights travel from files to the device: through a few slots of host memory, so that reading the next part,
// copying the last one and the other threads' parts all go on at the same time.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/backend.h"

namespace penstock {

// Owns its slots, in the backend's staging memory: a slot gets it when it is first taken, because pinning memory takes
// time. Any number of threads take slots; the longest given back is taken next.
class StagingRing {
 public:
  StagingRing(Backend& backend, int slots, int64_t slot_bytes);
  // Waits until nothing is copied out of the slots any more. All of them must be back.
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;

  // A thread's hold on a slot. One that ends without send(), as after an error, gives the slot back all the same.
  class Slot {
   public:
    Slot(Slot&& other) noexcept : ring_(std::exchange(other.ring_, nullptr)), index_(other.index_) {}
    ~Slot() {
      if (ring_) ring_->give_back(index_, nullptr);
    }
    void* data() const { return ring_->memory_[index_].data(); }
    // The slot is on its way to the device, and free again once `arrived` has passed.
    void send(std::unique_ptr<Moment> arrived) { std::exchange(ring_, nullptr)->give_back(index_, std::move(arrived)); }

   private:
    friend class StagingRing;
    Slot(StagingRing* ring, int index) : ring_(ring), index_(index) {}
    StagingRing* ring_;
    int index_;
  };

  // Waits for a slot. Errors: Error(no_device) when its memory cannot be had; what a copy failed with.
  Slot take();
  // Returns once all that was sent has arrived. Errors: what a copy failed with.
  void drain();

 private:
  struct Free {
    int index;
    std::unique_ptr<Moment> arrived;  // null: nothing is under way
  };
  void give_back(int index, std::unique_ptr<Moment> arrived) noexcept;

  Backend& backend_;
  const int64_t slot_bytes_;
  std::vector<DeviceBuffer> memory_;  // of each slot; touched by its holder alone
  std::mutex mutex_;                  // guards what follows
  std::condition_variable changed_;
  std::deque<Free> free_;  // the one to be taken next first
};

}  // namespace penstock
