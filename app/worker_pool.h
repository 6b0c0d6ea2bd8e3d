// A few threads that run jobs: the text work of a run.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace penstock {

class WorkerPool {
 public:
  explicit WorkerPool(int threads);
  ~WorkerPool();  // runs the jobs that have begun to their end and drops the others
  WorkerPool(const WorkerPool&) = delete;

  // Jobs start in the order of submission; urgent ones overtake the others. A job must not throw.
  void submit(std::function<void()> job, bool urgent = false);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> urgent_, jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace penstock
