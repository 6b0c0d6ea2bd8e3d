#include "engine/model/staging_ring.h"

#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "kernels/cpu/cpu_backend.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

// A copy that is under way until finish() is called.
class SlowCopy {
 public:
  std::unique_ptr<Moment> moment() { return std::make_unique<Pending>(done_); }
  void finish() {
    *done_ = true;
    done_->notify_all();
  }

 private:
  struct Pending : Moment {
    explicit Pending(std::shared_ptr<std::atomic<bool>> flag) : done(std::move(flag)) {}
    void wait() const override { done->wait(false); }
    double seconds_since(const Moment&) const override { return 0; }
    std::shared_ptr<std::atomic<bool>> done;
  };
  std::shared_ptr<std::atomic<bool>> done_ = std::make_shared<std::atomic<bool>>(false);
};

struct LostDevice : Moment {
  void wait() const override { throw Error(ExitCode::internal, "the copy failed"); }
  double seconds_since(const Moment&) const override { return 0; }
};

// Fails the n-th allocation of staging memory.
class FailingBackend : public cpu::CpuBackend {
 public:
  explicit FailingBackend(int failing) : CpuBackend({}), left_(failing) {}
  DeviceBuffer allocate_staging(int64_t bytes) override {
    if (--left_ == 0) throw Error(ExitCode::no_device, "no memory to pin");
    return CpuBackend::allocate_staging(bytes);
  }

 private:
  std::atomic<int> left_;
};

TEST_CASE("A slot is free again when its copy has arrived, and not before") {
  auto backend = make_backend({});
  StagingRing ring(*backend, 2, 64);
  SlowCopy first;
  void* memory = nullptr;
  {
    StagingRing::Slot slot = ring.take();
    memory = slot.data();
    slot.send(first.moment());
  }
  StagingRing::Slot other = ring.take();
  CHECK(other.data() != memory);
  std::atomic<bool> taken{false};
  std::jthread waiting([&] {
    const StagingRing::Slot again = ring.take();
    CHECK(again.data() == memory);
    taken = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(!taken);
  first.finish();
  waiting.join();
  CHECK(taken);
}

TEST_CASE("The ring outlives its copies: drain and the destructor wait") {
  auto backend = make_backend({});
  const bool drained = GENERATE(true, false);
  SlowCopy copy;
  std::atomic<bool> over{false};
  std::jthread user([&] {
    StagingRing ring(*backend, 3, 64);
    ring.take().send(copy.moment());
    if (drained) {
      ring.drain();
      over = true;
    }
  });
  std::jthread end([&] {
    user.join();
    over = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(!over);
  copy.finish();
  end.join();
  CHECK(over);
}

TEST_CASE("Many threads share few slots; no two hold the same one") {
  auto backend = make_backend({});
  constexpr int kSlots = 3, kThreads = 8, kTurns = 2000;
  StagingRing ring(*backend, kSlots, 4096);
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < kTurns; ++i) {
          StagingRing::Slot slot = ring.take();
          std::memset(slot.data(), t, 4096);
          const auto* bytes = static_cast<const unsigned char*>(slot.data());
          for (int at = 0; at < 4096; at += 64) wrong += bytes[at] != t;
          if (i % 3) slot.send(i % 2 ? backend->mark() : nullptr);  // else it is given back unsent
        }
      });
  }
  ring.drain();
  CHECK(wrong == 0);
}

TEST_CASE("Memory that cannot be had, and a copy that fails, reach the caller and leave the slots to the others") {
  SECTION("memory") {
    for (int failing = 1; failing <= 2; ++failing) {
      FailingBackend backend(failing);
      StagingRing ring(backend, 2, 64);
      int failures = 0;
      for (int turn = 0; turn < 6; ++turn) try {
          ring.take().send(nullptr);
        } catch (const Error& error) {
          CHECK(error.code() == ExitCode::no_device);
          ++failures;
        }
      CHECK(failures == 1);
    }
  }
  SECTION("a copy") {
    auto backend = make_backend({});
    StagingRing ring(*backend, 1, 64);
    ring.take().send(std::make_unique<LostDevice>());
    CHECK_THROWS_WITH(ring.drain(), ContainsSubstring("the copy failed"));
    CHECK_THROWS_WITH(ring.take(), ContainsSubstring("the copy failed"));
    ring.take().send(nullptr);  // the slot was not lost with it
    ring.drain();
  }
}

}  // namespace
}  // namespace penstock
