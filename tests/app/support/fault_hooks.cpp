// Linked in place of engine/step/fault_hooks.cpp: lets a rank fail. Told by the environment:
//   PENSTOCK_FAULT=KIND:REPLICA:RANK:STEP   before it starts that step (from 1) the rank
//        throws   a bug's exception
//        hangs    never comes back
//        errs     reports what a CUDA call would on an error
//        loses    what it would when the GPU is gone
//        slow     goes on after PENSTOCK_SILENCE / 2
//        works    goes on after three times as long as the silence that is allowed, and computes all the while
//   PENSTOCK_SILENCE=SECONDS   in place of engine/step/fault_hooks.cpp's
#include "engine/step/fault_hooks.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "engine/stage_timer.h"
#include "kernels/error.h"

namespace penstock {

double silence_limit() {
  const char* seconds = std::getenv("PENSTOCK_SILENCE");
  return seconds ? std::atof(seconds) : 45;
}

void before_step(int replica, int rank, uint64_t step) {
  const char* told = std::getenv("PENSTOCK_FAULT");
  char kind[16];
  int of_replica = 0, of_rank = 0;
  unsigned long long at = 0;
  if (!told || std::sscanf(told, "%15[a-z]:%d:%d:%llu", kind, &of_replica, &of_rank, &at) != 4) return;
  if (replica != of_replica || rank != of_rank || step != at) return;
  const auto sleep = [](double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); };
  const auto is = [&kind](const char* name) { return std::strcmp(kind, name) == 0; };
  if (is("throws")) throw std::logic_error("a fault that a test asked for");
  if (is("errs")) throw DeviceFault(ExitCode::internal, "cudaGraphLaunch: an illegal memory access was encountered");
  if (is("loses")) throw DeviceFault(ExitCode::no_device, "cudaGraphLaunch: uncorrectable ECC error encountered");
  if (is("slow")) return sleep(silence_limit() / 2);
  if (is("hangs")) sleep(1e9);
  if (!is("works")) std::abort();
  for (const double end = monotonic_seconds() + 3 * silence_limit(); monotonic_seconds() < end;) continue;
}

}  // namespace penstock
