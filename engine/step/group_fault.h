// What ends a group of ranks: the first fault counts, and everybody learns of it at once.
#pragma once
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace penstock {

// Any thread may call.
class GroupFault {
 public:
  // `release` lets those go who wait for another rank. It may itself hang where a device does.
  explicit GroupFault(std::function<void()> release) : release_(std::move(release)) {}
  ~GroupFault();  // waits for a release under way
  GroupFault(const GroupFault&) = delete;

  // `tell` gets the fault, at most once, on the thread that found it. Before there can be any.
  void on_fault(std::function<void(std::exception_ptr)> tell) { tell_ = std::move(tell); }

  // Without effect after the first, and after silence: what comes of one fault is not another.
  void report(std::exception_ptr fault);

  // Somebody has given no sign of life for `seconds`. Releases the others, and names in a DeviceFault those who do not
  // come back within two seconds, or `seconds` if that is less. `silent`: who has not come back yet.
  void report_silence(double seconds, const std::function<std::string()>& silent);

  // Throws the fault if there is one, or is about to be.
  void rethrow();

 private:
  void settle(std::exception_ptr fault);

  const std::function<void()> release_;
  std::function<void(std::exception_ptr)> tell_ = [](std::exception_ptr) {};
  std::mutex mutex_;
  std::condition_variable settled_;
  std::exception_ptr fault_;
  bool found_ = false;  // a fault; its words may still be missing
  std::thread releasing_;
};

}  // namespace penstock
