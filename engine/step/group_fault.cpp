#include "engine/step/group_fault.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "kernels/error.h"

namespace penstock {

GroupFault::~GroupFault() {
  if (releasing_.joinable()) releasing_.join();
}

void GroupFault::report(std::exception_ptr fault) {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(found_, true)) return;
  }
  settle(fault);
  release_();
}

void GroupFault::report_silence(double seconds, const std::function<std::string()>& silent) {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(found_, true)) return;
  }
  std::string names = silent();
  releasing_ = std::thread(release_);
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(std::min(seconds, 2.0));
  while (Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (std::string still = silent(); !still.empty()) names = std::move(still);
  }
  char text[64];
  std::snprintf(text, sizeof text, ": no sign of life in a step for %g s", seconds);
  settle(std::make_exception_ptr(DeviceFault(ExitCode::internal, names + text)));
}

void GroupFault::settle(std::exception_ptr fault) {
  {
    std::lock_guard lock(mutex_);
    fault_ = fault;
  }
  settled_.notify_all();
  tell_(fault);
}

void GroupFault::rethrow() {
  std::unique_lock lock(mutex_);
  if (!found_) return;
  settled_.wait(lock, [this] { return fault_ != nullptr; });
  std::rethrow_exception(fault_);
}

}  // namespace penstock
