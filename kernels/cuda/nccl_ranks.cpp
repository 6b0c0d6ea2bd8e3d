#include <dlfcn.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/nccl_ranks.h"
#if __has_include(<nccl.h>)
#include <nccl.h>

namespace penstock::cuda {
namespace {

constexpr int kOldest = NCCL_VERSION(2, 28, 0);
constexpr const char* kLibrary = "libnccl.so.2";

struct Nccl {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRankConfig) init_rank;
  decltype(&ncclCommGetAsyncError) get_async_error;
  decltype(&ncclCommFinalize) finalize;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclAllGather) all_gather;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  std::string version, why_not;  // one of them is empty
};

// Where the user has not decided otherwise. All ranks are in this process, so its sockets need not leave the machine.
void set_defaults() {
  ::setenv("NCCL_SOCKET_IFNAME", "lo", 0);
  ::setenv("NCCL_IB_DISABLE", "1", 0);
  ::setenv("NCCL_NVLS_ENABLE", "0", 1);  // multicast: a fault in it can take the host's GPUs out of service
}

template <class Function>
void find(void* library, Function& function, const char* name, Nccl& nccl) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (!function) nccl.why_not = std::string(kLibrary) + " has no " + name;
}

Nccl load() {
  Nccl nccl{};
  set_defaults();
  void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    nccl.why_not = std::string("there is no ") + kLibrary;
    return nccl;
  }
  find(library, nccl.get_version, "ncclGetVersion", nccl);
  find(library, nccl.error_string, "ncclGetErrorString", nccl);
  find(library, nccl.get_unique_id, "ncclGetUniqueId", nccl);
  find(library, nccl.init_rank, "ncclCommInitRankConfig", nccl);
  find(library, nccl.get_async_error, "ncclCommGetAsyncError", nccl);
  find(library, nccl.finalize, "ncclCommFinalize", nccl);
  find(library, nccl.destroy, "ncclCommDestroy", nccl);
  find(library, nccl.abort, "ncclCommAbort", nccl);
  find(library, nccl.all_reduce, "ncclAllReduce", nccl);
  find(library, nccl.all_gather, "ncclAllGather", nccl);
  find(library, nccl.group_start, "ncclGroupStart", nccl);
  find(library, nccl.group_end, "ncclGroupEnd", nccl);
  if (!nccl.why_not.empty()) return nccl;
  int version = 0;
  nccl.get_version(&version);
  const std::string name =
      std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
  if (version < kOldest)
    nccl.why_not = "NCCL " + name + " is older than 2.28";
  else
    nccl.version = name;
  return nccl;
}

const Nccl& nccl() {
  static const Nccl all = load();
  return all;
}

// Whether what computes has failed, and not what it was asked to do.
bool means_fault(ncclResult_t status) {
  return status == ncclUnhandledCudaError || status == ncclSystemError || status == ncclRemoteError;
}

void check(ncclResult_t status, const char* what) {
  if (status == ncclSuccess || status == ncclInProgress) return;
  const std::string message = std::string(what) + ": " + nccl().error_string(status);
  if (means_fault(status)) throw DeviceFault(ExitCode::internal, message);
  throw Error(ExitCode::internal, message);
}

// Communicators do not block: what a call began is waited for here, where an abort is seen.
class NonBlockingRanks : public NcclRanks {
 public:
  explicit NonBlockingRanks(std::span<const int> devices) : ranks_(devices.size()) {
    ncclUniqueId id;
    check(nccl().get_unique_id(&id), "ncclGetUniqueId");
    check(nccl().group_start(), "ncclGroupStart");
    bool in_group = true;
    try {
      for (size_t r = 0; r < devices.size(); ++r) connect(devices, r, id);
      in_group = false;
      check(nccl().group_end(), "ncclGroupEnd");
      for (const Rank& rank : ranks_) finish(rank, "ncclCommInitRankConfig");
    } catch (...) {
      if (in_group) nccl().group_end();
      abort();
      throw;
    }
  }

  ~NonBlockingRanks() override {
    if (aborted_) return;
    for (const Rank& rank : ranks_) nccl().finalize(rank.communicator);
    for (const Rank& rank : ranks_) {
      try {
        finish(rank, "ncclCommFinalize");
        nccl().destroy(rank.communicator);
      } catch (const Error&) {
        nccl().abort(rank.communicator);
      }
    }
  }

  void all_reduce_sum(int rank, const Tensor& x, cudaStream_t stream) override {
    enqueue(rank, "ncclAllReduce", [&](ncclComm_t communicator) {
      return nccl().all_reduce(x.data, x.data, static_cast<size_t>(x.rows * x.cols), ncclBfloat16, ncclSum,
                               communicator, stream);
    });
  }

  void all_gather(int rank, void* out, const void* part, int64_t bytes, cudaStream_t stream) override {
    enqueue(rank, "ncclAllGather", [&](ncclComm_t communicator) {
      return nccl().all_gather(part, out, static_cast<size_t>(bytes), ncclInt8, communicator, stream);
    });
  }

  void abort() override {
    if (aborted_.exchange(true)) return;
    for (Rank& rank : ranks_) {
      std::lock_guard lock(rank.in_use);
      if (rank.communicator) nccl().abort(rank.communicator);
    }
  }

  std::string version() const override { return nccl().version; }

 private:
  struct Rank {
    ncclComm_t communicator = nullptr;
    std::mutex in_use;
  };

  void connect(std::span<const int> devices, size_t rank, const ncclUniqueId& id) {
    PENSTOCK_CUDA(cudaSetDevice(devices[rank]));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    check(nccl().init_rank(&ranks_[rank].communicator, static_cast<int>(devices.size()), id, static_cast<int>(rank),
                           &config),
          "ncclCommInitRankConfig");
  }

  template <class Call>
  void enqueue(int rank, const char* what, Call call) {
    std::lock_guard lock(ranks_[rank].in_use);
    if (aborted_) throw Error(ExitCode::internal, "another rank has failed");
    check(call(ranks_[rank].communicator), what);
    finish(ranks_[rank], what);
  }

  void finish(const Rank& rank, const char* what) const {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::seconds(60);
    for (ncclResult_t state = ncclInProgress;;) {
      check(nccl().get_async_error(rank.communicator, &state), what);
      if (state != ncclInProgress) return check(state, what);
      if (aborted_) throw Error(ExitCode::internal, "another rank has failed");
      if (Clock::now() > deadline)
        throw DeviceFault(ExitCode::internal, std::string(what) + ": not done within a minute");
      std::this_thread::yield();
    }
  }

  std::vector<Rank> ranks_;
  std::atomic<bool> aborted_{false};
};

}  // namespace

std::unique_ptr<NcclRanks> make_nccl_ranks(std::span<const int> devices, std::string& why_not) {
  why_not = nccl().why_not;
  if (!why_not.empty()) return nullptr;
  return std::make_unique<NonBlockingRanks>(devices);
}

}  // namespace penstock::cuda

#else

namespace penstock::cuda {

std::unique_ptr<NcclRanks> make_nccl_ranks(std::span<const int>, std::string& why_not) {
  why_not = "this build is without NCCL";
  return nullptr;
}

}  // namespace penstock::cuda

#endif
