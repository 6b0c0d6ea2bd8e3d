#include "app/worker_pool.h"

#include "app/signals.h"

namespace penstock {

WorkerPool::WorkerPool(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::submit(std::function<void()> job, bool urgent) {
  {
    const std::lock_guard lock(mutex_);
    (urgent ? urgent_ : jobs_).push_back(std::move(job));
  }
  wake_.notify_one();
}

void WorkerPool::work() {
  block_stop_signals();
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !urgent_.empty() || !jobs_.empty(); });
    if (stopping_) return;
    auto& queue = urgent_.empty() ? jobs_ : urgent_;
    const std::function<void()> job = std::move(queue.front());
    queue.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

}  // namespace penstock
