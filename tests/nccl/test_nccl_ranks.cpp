// How NCCL is called, and what becomes of its errors: before the library of fake_nccl.cpp, which is found in its place.
#include <dlfcn.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "kernels/cuda/nccl_ranks.h"
#include "kernels/error.h"
#include "tests/nccl/fake_nccl.h"
#include "tests/support/catch.h"

// CUDA's runtime, as far as it is called.
extern "C" {
cudaError_t cudaSetDevice(int device) { return device == 99 ? cudaErrorInvalidDevice : cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "no such device"; }
}

namespace penstock::cuda {
namespace {

FakeNccl& fake() {
  static auto* found = [] {
    void* library = dlopen("libnccl.so.2", RTLD_NOW);
    REQUIRE(library);
    auto* get = reinterpret_cast<FakeNccl* (*)()>(dlsym(library, "fake_nccl"));
    REQUIRE(get);  // else it is the real one
    return get();
  }();
  return *found;
}

// As it is at first.
struct Fresh {
  FakeNccl& nccl = fake();
  Fresh() {
    nccl.polls = 3, nccl.hangs = false;
    nccl.init_result = nccl.connect_state = nccl.sum_state = nccl.finalize_state = ncclSuccess;
    for (auto* count : {&nccl.open_groups, &nccl.connected, &nccl.finalized, &nccl.destroyed, &nccl.aborted,
                        &nccl.collectives, &nccl.waits})
      *count = 0;
  }
};

const std::vector<int> kDevices = {0, 1};

std::unique_ptr<NcclRanks> connect(const std::vector<int>& devices = kDevices) {
  std::string why_not;
  auto ranks = make_nccl_ranks(devices, why_not);
  INFO(why_not);
  REQUIRE(ranks);
  return ranks;
}

const Tensor kSum{nullptr, DType::bf16, 3, 64, 64};

enum class Fault { job, device };

// Of the error that action throws, which says `text`.
template <class Action>
Fault fault_of(Action action, const std::string& text) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::internal);
    CHECK_THAT(error.what(), ContainsSubstring(text));
    return dynamic_cast<const DeviceFault*>(&error) ? Fault::device : Fault::job;
  }
  FAIL("it succeeded");
  return Fault::job;
}

}  // namespace

TEST_CASE("NCCL's ranks are connected without blocking, sum, gather, and are taken down in order") {
  Fresh fresh;
  {
    auto ranks = connect();
    CHECK(ranks->version() == "2.28.9");
    CHECK(fresh.nccl.connected == 2);
    CHECK(fresh.nccl.open_groups == 0);
    CHECK_FALSE(fresh.nccl.blocking);
    CHECK(fresh.nccl.waits == 2 * 4);  // three times in progress, then done
    ranks->all_reduce_sum(1, kSum, nullptr);
    CHECK(fresh.nccl.count == 3 * 64);
    CHECK(fresh.nccl.dtype == ncclBfloat16);
    ranks->all_gather(0, nullptr, nullptr, 1000, nullptr);
    CHECK(fresh.nccl.count == 1000);
    CHECK(fresh.nccl.dtype == ncclInt8);
    CHECK(fresh.nccl.waits == 4 * 4);
  }
  CHECK(fresh.nccl.finalized == 2);
  CHECK(fresh.nccl.destroyed == 2);
  CHECK(fresh.nccl.aborted == 0);
}

TEST_CASE("devices that cannot be connected are let go, with NCCL's words") {
  Fresh fresh;
  SECTION("refused at once") {
    fresh.nccl.init_result = ncclInvalidArgument;
    CHECK(fault_of([] { connect(); }, "ncclCommInitRankConfig: trouble") == Fault::job);
    CHECK(fresh.nccl.connected == 1);
  }
  SECTION("failed meanwhile") {
    fresh.nccl.connect_state = ncclSystemError;
    CHECK(fault_of([] { connect(); }, "ncclCommInitRankConfig: trouble") == Fault::device);
    CHECK(fresh.nccl.connected == 2);
  }
  SECTION("no such device") {
    CHECK(fault_of([] { connect({0, 99}); }, "no such device") == Fault::device);
    CHECK(fresh.nccl.connected == 1);
  }
  CHECK(fresh.nccl.open_groups == 0);
  CHECK(fresh.nccl.aborted == fresh.nccl.connected);
  CHECK(fresh.nccl.finalized == 0);
}

TEST_CASE("an error of a sum that is under way is a fault of the devices, wrong arguments are not") {
  Fresh fresh;
  auto ranks = connect();
  const auto sum = [&] { ranks->all_reduce_sum(0, kSum, nullptr); };
  fresh.nccl.sum_state = ncclRemoteError;
  CHECK(fault_of(sum, "ncclAllReduce: remote trouble") == Fault::device);
  fresh.nccl.sum_state = ncclUnhandledCudaError;
  CHECK(fault_of(sum, "ncclAllReduce: trouble") == Fault::device);
  fresh.nccl.sum_state = ncclInvalidUsage;
  CHECK(fault_of(sum, "ncclAllReduce: trouble") == Fault::job);
}

TEST_CASE("an abort ends the ranks that wait, refuses later sums, and takes each communicator down once") {
  Fresh fresh;
  {
    auto ranks = connect();
    fresh.nccl.hangs = true;
    std::vector<std::thread> threads;
    std::atomic<int> ended{0};
    for (int r = 0; r < 2; ++r)
      threads.emplace_back([&, r] {
        try {
          ranks->all_reduce_sum(r, kSum, nullptr);
        } catch (const Error& error) {
          if (std::string(error.what()) == "another rank has failed") ++ended;
        }
      });
    while (fresh.nccl.collectives < 2) std::this_thread::yield();
    CHECK(ended == 0);
    ranks->abort();
    for (std::thread& thread : threads) thread.join();
    CHECK(ended == 2);
    CHECK(fresh.nccl.aborted == 2);
    ranks->abort();
    CHECK(fault_of([&] { ranks->all_reduce_sum(0, kSum, nullptr); }, "another rank has failed") == Fault::job);
    CHECK(fresh.nccl.collectives == 2);
  }
  CHECK(fresh.nccl.aborted == 2);
  CHECK(fresh.nccl.finalized == 0);
  CHECK(fresh.nccl.destroyed == 0);
}

TEST_CASE("a communicator that cannot be finalized is aborted") {
  Fresh fresh;
  fresh.nccl.finalize_state = ncclRemoteError;
  connect();
  CHECK(fresh.nccl.finalized == 2);
  CHECK(fresh.nccl.aborted == 2);
  CHECK(fresh.nccl.destroyed == 0);
}

// The version is read once, so this runs in a process of its own.
TEST_CASE("an old NCCL is not used", "[.old]") {
  std::string why_not;
  CHECK(make_nccl_ranks(kDevices, why_not) == nullptr);
  CHECK(why_not == "NCCL 2.27.5 is older than 2.28");
}
TEST_CASE("an old NCCL is not used: it says so") {
  char self[4096] = {};
  REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  REQUIRE(setenv("FAKE_NCCL_VERSION", "22705", 1) == 0);
  CHECK(std::system((std::string(self) + " '[.old]' | grep -q 'All tests passed'").c_str()) == 0);
  unsetenv("FAKE_NCCL_VERSION");
}

}  // namespace penstock::cuda
