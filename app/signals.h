// The signals that ask a run to stop, as something poll() can wait for.
#pragma once
#include <atomic>

namespace penstock {

// Keeps these signals away from the calling thread and the threads it starts. Every thread but the main one begins with
// it, so that the main thread gets them: they interrupt its blocked write().
void block_stop_signals();

// One at a time, on the main thread.
class StopSignals {
 public:
  StopSignals();  // SIGTERM, SIGINT, SIGHUP, SIGUSR1; SIGPIPE and SIGXFSZ become errors of write()
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;

  int descriptor() const;  // readable after a signal
  void drain();            // makes it unreadable again
  int count() const;       // of signals so far
};

// Wakes a poll() from other threads.
class WakeUp {
 public:
  WakeUp();
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  void notify() const;  // any thread, also a signal handler
  void drain() const;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace penstock
