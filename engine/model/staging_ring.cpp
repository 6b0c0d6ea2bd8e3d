#include "engine/model/staging_ring.h"

namespace penstock {

StagingRing::StagingRing(Backend& backend, int slots, int64_t slot_bytes)
    : backend_(backend), slot_bytes_(slot_bytes), memory_(slots) {
  for (int i = 0; i < slots; ++i) free_.push_back({i, nullptr});
}

StagingRing::~StagingRing() {
  for (const Free& one : free_) {
    try {
      if (one.arrived) one.arrived->wait();
    } catch (const Error&) {  // the device has failed: it copies nothing more
    }
  }
}

StagingRing::Slot StagingRing::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !free_.empty(); });
  Free one = std::move(free_.front());
  free_.pop_front();
  lock.unlock();
  Slot slot(this, one.index);  // from here on an error gives it back
  if (one.arrived) one.arrived->wait();
  DeviceBuffer& memory = memory_[one.index];
  if (!memory.data()) memory = backend_.allocate_staging(slot_bytes_);
  return slot;
}

void StagingRing::drain() {
  const std::lock_guard lock(mutex_);
  for (const Free& one : free_)
    if (one.arrived) one.arrived->wait();
}

// noexcept: a few bytes for the queue are all it could lack, and a slot that is lost would leave the others waiting.
void StagingRing::give_back(int index, std::unique_ptr<Moment> arrived) noexcept {
  {
    const std::lock_guard lock(mutex_);
    free_.push_back({index, std::move(arrived)});
  }
  changed_.notify_one();
}

}  // namespace penstock
