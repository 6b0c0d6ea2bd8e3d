// The signals that ask a run to stop, as something poll() can wait for.
#pragma once
#include <atomic>

namespace penstock {

// Keeps these signals away from the calling thread and the threads it starts. Every thread but the main one begins with
// it, so that the main thread gets them: they interrupt its blocked write().
void block_stop_signals();

void unblock_stop_signals();

// One at a time, on the main thread. SIGTERM, SIGINT, SIGHUP and SIGUSR1 are counted from here on, those that were
// blocked before among them. They stay harmless after its end: the exit code has been decided.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;

  // Whether a second signal ends the process on the spot with exit code 75. So it is from the start; not while there
  // are records to be flushed first.
  void exit_at_second(bool exits);

  int descriptor() const;        // readable after a signal
  void drain();                  // makes it unreadable again
  int count() const;             // of signals so far
  double first_seconds() const;  // monotonic, of the first one; 0: none yet
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
