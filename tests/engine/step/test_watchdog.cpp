#include "engine/step/watchdog.h"

#include <chrono>

#include "engine/stage_timer.h"
#include "engine/step/group_fault.h"
#include "kernels/error.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

void sleep_seconds(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

// Whether the watchdog with a limit of 0.3 s gives up during `work`, or soon after.
bool noticed(Pulse& pulse, const std::function<void()>& work) {
  std::atomic<int> calls{0};
  {
    const Watchdog watchdog({&pulse}, 0.3, [&] { ++calls; });
    work();
    sleep_seconds(0.1);
  }
  REQUIRE(calls <= 1);
  return calls == 1;
}

void compute(double seconds) {
  for (const double end = monotonic_seconds() + seconds; monotonic_seconds() < end;) continue;
}

TEST_CASE("who is under way without a sign for the limit is noticed, once") {
  Pulse pulse;
  CHECK(noticed(pulse, [&] {
    pulse.begin();
    sleep_seconds(1.5);
  }));
}

TEST_CASE("who has nothing to do, or ends and begins, is not silent") {
  Pulse pulse;
  CHECK(!noticed(pulse, [] { sleep_seconds(1); }));
  CHECK(!noticed(pulse, [&] {
    for (int i = 0; i < 20; ++i) {
      pulse.begin();
      sleep_seconds(0.05);
      if (i % 2) pulse.end();
    }
    pulse.end();
  }));
}

TEST_CASE("computing is a sign, for as long as it counts") {
  Pulse of_a_cpu(1e9), of_a_gpu(0.2);
  CHECK(!noticed(of_a_cpu, [&] {
    of_a_cpu.begin();
    compute(1);
    of_a_cpu.end();
  }));
  CHECK(noticed(of_a_gpu, [&] {
    of_a_gpu.begin();
    compute(2);
    of_a_gpu.end();
  }));
  Pulse warm(1e9, 1);
  warm.begin();
  warm.end();
  CHECK(noticed(warm, [&] {
    warm.begin();
    compute(1);
    warm.end();
  }));
}

std::string message_of(GroupFault& fault) {
  try {
    fault.rethrow();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("the first fault of a group counts, is told once and releases the others") {
  int released = 0, told = 0;
  GroupFault fault([&] { ++released; });
  fault.on_fault([&](std::exception_ptr) { ++told; });
  CHECK(message_of(fault) == "");
  fault.report(std::make_exception_ptr(Error(ExitCode::internal, "first")));
  fault.report(std::make_exception_ptr(Error(ExitCode::internal, "another rank has failed")));
  fault.report_silence(1, [] { return "nobody"; });
  CHECK(message_of(fault) == "first");
  CHECK((released == 1 && told == 1));
}

TEST_CASE("of silent ranks those are named who do not come back once the others are released") {
  std::atomic<bool> released{false};
  GroupFault fault([&] {
    released = true;
    fault.report(std::make_exception_ptr(Error(ExitCode::internal, "another rank has failed")));
  });
  fault.report_silence(45, [&] { return released ? "rank 1" : "rank 0, rank 1"; });
  CHECK(message_of(fault) == "rank 1: no sign of life in a step for 45 s");
  CHECK_THROWS_AS(fault.rethrow(), DeviceFault);
}

}  // namespace
}  // namespace penstock
