// Notices that something has stopped showing signs of life. A thread of its own that owns no device's state, so that no
// device can hold it up.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace penstock {

// Work that is watched. One thread at a time begins and ends it; any thread may ask.
class Pulse {
 public:
  // While the thread that began uses CPU time it is alive, for so many seconds after it began, and only the first so
  // many times: a step on the CPU may take minutes, but who waits for a GPU may do so by spinning. Else only the end is
  // a sign.
  explicit Pulse(double cpu_time_counts = 0, uint64_t first_times = UINT64_MAX)
      : cpu_time_counts_(cpu_time_counts), first_times_(first_times) {}

  void begin();
  void end() { busy_ = false; }
  bool busy() const { return busy_; }

  // 0 while nothing is under way. Else another number than before if there was a sign meanwhile.
  uint64_t signs() const;

 private:
  const double cpu_time_counts_;
  const uint64_t first_times_;
  std::atomic<bool> busy_{false};
  std::atomic<uint64_t> begun_{0};  // how often
  std::atomic<double> since_{0};    // monotonic
  std::atomic<int> clock_{0};       // clockid_t of the thread that began
};

class Watchdog {
 public:
  // Calls `on_silence` once, on its own thread, when one of `pulses` has been under way for `limit_seconds` without a
  // sign. Time in which this process did not run (SIGSTOP, a machine that slept) does not count.
  Watchdog(std::vector<const Pulse*> pulses, double limit_seconds, std::function<void()> on_silence);
  ~Watchdog();  // waits for an on_silence under way

 private:
  void watch();

  const std::vector<const Pulse*> pulses_;
  const double limit_seconds_;
  const std::function<void()> on_silence_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace penstock
