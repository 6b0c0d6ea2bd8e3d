#include "engine/step/watchdog.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "engine/stage_timer.h"

namespace penstock {

void Pulse::begin() {
  clockid_t clock = 0;
  if (pthread_getcpuclockid(pthread_self(), &clock) == 0) clock_ = clock;
  since_ = monotonic_seconds();
  ++begun_;
  busy_ = true;
}

uint64_t Pulse::signs() const {
  if (!busy_) return 0;
  uint64_t signs = begun_;  // and what is added never becomes less
  timespec used{};
  const bool counts = begun_ <= first_times_ && monotonic_seconds() < since_ + cpu_time_counts_;
  if (counts && clock_gettime(clock_, &used) == 0)
    signs += static_cast<uint64_t>(used.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(used.tv_nsec);
  return signs;
}

Watchdog::Watchdog(std::vector<const Pulse*> pulses, double limit_seconds, std::function<void()> on_silence)
    : pulses_(std::move(pulses)),
      limit_seconds_(limit_seconds),
      on_silence_(std::move(on_silence)),
      thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::watch() {
  struct Seen {
    uint64_t signs = 0;
    double silent = 0;
  };
  std::vector<Seen> seen(pulses_.size());
  const double tick = std::min(0.5, limit_seconds_ / 20);
  double last = monotonic_seconds();
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, std::chrono::duration<double>(tick), [this] { return stopping_; })) {
    const double now = monotonic_seconds(), passed = std::min(now - last, 2 * tick);
    last = now;
    for (size_t i = 0; i < seen.size(); ++i) {
      const uint64_t signs = pulses_[i]->signs();
      seen[i].silent = signs == 0 || signs != seen[i].signs ? 0 : seen[i].silent + passed;
      seen[i].signs = signs;
      if (seen[i].silent < limit_seconds_) continue;
      lock.unlock();
      return on_silence_();
    }
  }
}

}  // namespace penstock
