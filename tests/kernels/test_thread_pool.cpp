#include "kernels/cpu/thread_pool.h"

#include <chrono>
#include <thread>
#include <vector>

#include "tests/support/catch.h"

using penstock::cpu::ThreadPool;

TEST_CASE("run calls every worker once and joins them all", "[cpu]") {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    REQUIRE(pool.size() == threads);
    std::vector<int> calls(threads);  // plain: run() orders the workers' writes before its return
    auto body = [&](int worker) { ++calls[worker]; };
    for (int round = 1; round <= 1000; ++round) {
      pool.run(body);
      REQUIRE(calls == std::vector<int>(threads, round));
    }
  }
}

TEST_CASE("workers that have parked come back", "[cpu]") {
  ThreadPool pool(3);
  int total[3] = {};
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::microseconds(round % 2 ? 300 : 40));
    auto body = [&](int worker) {
      if (worker == 1) std::this_thread::sleep_for(std::chrono::microseconds(200));  // the caller parks too
      ++total[worker];
    };
    pool.run(body);
  }
  for (int count : total) REQUIRE(count == 20);
}

TEST_CASE("parallel_for covers every index once, in ranges that begin at multiples of the grain", "[cpu]") {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int64_t count : {0, 1, 7, 64, 1000})
      for (int64_t grain : {1, 3, 64}) {
        std::vector<int> seen(count);
        std::atomic<int> ranges = 0, misplaced = 0;
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          ++ranges;
          if (begin % grain != 0 || begin >= end) ++misplaced;
          for (int64_t i = begin; i < end; ++i) ++seen[i];
        });
        REQUIRE(seen == std::vector<int>(count, 1));
        REQUIRE(misplaced == 0);
        REQUIRE(ranges <= threads);
      }
  }
}

TEST_CASE("many more workers than cores make progress", "[cpu]") {
  using Clock = std::chrono::steady_clock;
  auto begin = Clock::now();
  std::vector<std::thread> ranks;
  std::atomic<int> work = 0;
  for (int rank = 0; rank < 4; ++rank)
    ranks.emplace_back([&] {
      ThreadPool pool(4);
      auto body = [&](int) { ++work; };
      for (int round = 0; round < 200; ++round) pool.run(body);
    });
  for (std::thread& rank : ranks) rank.join();
  REQUIRE(work == 4 * 4 * 200);
  // 800 regions; were each to cost a scheduler's time slice (about 3 ms), it would be well over this.
  REQUIRE(Clock::now() - begin < std::chrono::seconds(2));
}

TEST_CASE("scratch keeps its memory until more is asked for", "[cpu]") {
  ThreadPool pool(1);
  void* first = pool.scratch(100);
  REQUIRE(reinterpret_cast<uintptr_t>(first) % 4096 == 0);
  REQUIRE(pool.scratch(4096) == first);
  static_cast<char*>(pool.scratch(1 << 20))[(1 << 20) - 1] = 1;
}
