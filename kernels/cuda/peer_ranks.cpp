#include "kernels/cuda/peer_ranks.h"

#include <algorithm>
#include <atomic>

#include "kernels/cuda/check.h"
#include "kernels/cuda/make_cuda_backend.h"
#include "kernels/cuda/topology.h"

namespace penstock::cuda {
namespace {

constexpr int kSharedBlocks = 16;  // of a waiting kernel, where another rank's kernels need the same GPU
// Before there is a measurement.
constexpr SumLimits kUsualLimits{.one_shot = 256 << 10, .two_shot = SumLimits::kEverything};

std::vector<int> devices_of(std::span<CudaBackend* const> backends) {
  std::vector<int> devices;
  for (const CudaBackend* backend : backends) devices.push_back(backend->index());
  return devices;
}

bool has_duplicates(std::vector<int> devices) {
  std::sort(devices.begin(), devices.end());
  return std::adjacent_find(devices.begin(), devices.end()) != devices.end();
}

bool reach_each_other(std::span<const int> devices) {
  for (int device : devices)
    for (int other : devices)
      if (link_between(device, other) == Link::none) return false;
  return true;
}

std::string in_words(int64_t bytes) {
  return bytes >= 1 << 20 ? std::to_string(bytes >> 20) + " MiB" : std::to_string(bytes >> 10) + " KiB";
}

}  // namespace

PeerRanks::PeerRanks(std::span<CudaBackend* const> backends, const CommunicatorOptions& options)
    : meeting_(static_cast<int>(backends.size())), memory_(backends.size()) {
  if (size() > kMostRanks)
    throw Error(ExitCode::usage,
                "at most " + std::to_string(kMostRanks) + " GPUs share a layer, not " + std::to_string(size()));
  const std::vector<int> devices = devices_of(backends);
  if (!options.allow_slow && !in_one_nvlink_domain(devices))
    throw Error(ExitCode::usage,
                "tensor parallelism between GPUs that are not connected by NVLink would be slow; "
                "--allow-slow-tensor-parallel does it nevertheless:\n" +
                    describe_topology(devices));
  shares_gpu_ = options.shares_gpus || has_duplicates(devices);
  has_peer_memory_ = reach_each_other(devices);
  choose_ways(devices, options.sums);
  if (!nccl_ && (!has_peer_memory_ || options.sums == SumChoice::nccl))
    throw Error(ExitCode::no_device, "no NCCL: " + no_nccl_ + "\n" + describe_topology(devices));
  if (!has_peer_memory_) return;
  enable_peer_access(devices);
  make_memory(backends);
}

// Opening NCCL and measuring take a second: neither is done where an earlier run's measurement says how it ends.
void PeerRanks::choose_ways(const std::vector<int>& devices, SumChoice choice) {
  if (shares_gpu_) no_nccl_ = "ranks share a GPU";
  if (choice != SumChoice::nccl) limits_ = kUsualLimits;  // else from no bytes on
  if (shares_gpu_ || (choice == SumChoice::own && has_peer_memory_)) return;
  std::optional<MeasuredLimits> known;
  if (choice == SumChoice::automatic && has_peer_memory_) {
    name_ = std::to_string(size()) + (in_one_nvlink_domain(devices) ? "-nvlink" : "-pcie");
    first_device_ = devices[0];
    PENSTOCK_CUDA(cudaSetDevice(first_device_));
    known = remembered_limits(name_);
    if (known && !known->nccl.empty() && known->limits.two_shot == SumLimits::kEverything) {
      limits_ = known->limits;
      slower_nccl_ = known->nccl;
      return;
    }
  }
  nccl_ = make_nccl_ranks(devices, no_nccl_);
  if (known && known->nccl == nccl_version())
    limits_ = known->limits;
  else
    wants_measuring_ = !name_.empty();
}

void PeerRanks::set_measured(const SumLimits& limits) {
  limits_ = limits;
  PENSTOCK_CUDA(cudaSetDevice(first_device_));
  remember_limits(name_, {limits, nccl_version()});
}

void PeerRanks::make_memory(std::span<CudaBackend* const> backends) {
  aborted_ = backends[0]->allocate_staging(sizeof(int));
  *aborted_.as<int>() = 0;
  for (size_t r = 0; r < backends.size(); ++r) {
    CudaBackend& backend = *backends[r];
    Memory& memory = memory_[r];
    memory.inbox = backend.allocate(kInboxes * size() * kMostInboxBytes);
    memory.flags = backend.allocate(kMostPeerBlocks * kMostRanks * sizeof(unsigned));
    memory.counters = backend.allocate(sizeof(PeerCounters));
    PENSTOCK_CUDA(cudaMemsetAsync(memory.inbox.data(), 0xFF, memory.inbox.bytes(), backend.stream()));
    backend.fill_zero(memory.flags.data(), memory.flags.bytes());
    backend.fill_zero(memory.counters.data(), memory.counters.bytes());
    load_one_shot_kernels();
    load_two_shot_kernels();
    load_fetching_kernels();
    load_sum_add_rms_norm_kernels();
    backend.synchronize();
  }
  for (int r = 0; r < size(); ++r) {
    PeerGroup& group = memory_[r].group;
    group.rank = r, group.ranks = size();
    for (int other = 0; other < size(); ++other) {
      group.inbox[other] = memory_[other].inbox.as<uint4>();
      group.flags[other] = memory_[other].flags.as<unsigned>();
    }
    group.counters = memory_[r].counters.as<PeerCounters>();
    group.aborted = aborted_.as<int>();
    group.shares_gpu = shares_gpu_;
    group.most_blocks = shares_gpu_ ? kSharedBlocks : kMostPeerBlocks;
  }
}

SumKind PeerRanks::kind_of(int64_t bytes) const {
  if (bytes <= limits_.one_shot) return SumKind::one_shot;
  return bytes <= limits_.two_shot || !nccl_ ? SumKind::two_shot : SumKind::nccl;
}

std::string PeerRanks::description() const {
  if (limits_.two_shot == 0 || !has_peer_memory_) return "all-reduce by NCCL " + nccl_version();
  const std::string text = "all-reduce in one shot up to " + in_words(limits_.one_shot) + ", in two ";
  if (nccl_ && limits_.two_shot != SumLimits::kEverything)
    return text + "up to " + in_words(limits_.two_shot) + ", by NCCL " + nccl_version() + " above";
  if (!no_nccl_.empty()) return text + "above; no NCCL: " + no_nccl_;
  const std::string slower = nccl_ ? nccl_version() : slower_nccl_;
  return text + "above" + (slower.empty() ? "" : ", where NCCL " + slower + " is slower");
}

void PeerRanks::abort() {
  if (aborted_.data()) std::atomic_ref(*aborted_.as<int>()).store(1);
  meeting_.abort();
  if (nccl_) nccl_->abort();
}

}  // namespace penstock::cuda
