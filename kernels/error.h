// How Penstock fails: one exception type that carries the exit code of design.md §7. It is thrown where the fault is
// known, and caught in two places only: main (exit code) and the per-record boundary (error record).
#pragma once
#include <stdexcept>
#include <string>

namespace penstock {

enum class ExitCode : int {
  ok = 0,
  usage = 64,
  some_records_failed = 65,
  not_found = 66,        // input or model not found
  no_device = 69,        // no usable device, or its memory does not suffice
  internal = 70,         // a bug, or a rank that threw
  cannot_create = 73,    // output cannot be created, is in use, or belongs to another job
  io = 74,               // read or write error
  stopped_early = 75,    // the same command continues
  bad_model = 78,        // model or config unusable
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// What computes failed under the run: a GPU's error, or a rank that gives no sign of life. Nothing is wrong with the
// job, so the same command may well go on elsewhere, or later. internal; no_device when the GPU is gone.
class DeviceFault : public Error {
 public:
  using Error::Error;
};

}  // namespace penstock
