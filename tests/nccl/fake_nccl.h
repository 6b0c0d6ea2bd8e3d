// Stands in for NCCL in tests: connects nothing and sums nothing, but fails, delays and hangs as it is told.
#pragma once
#include <nccl.h>

#include <atomic>
#include <cstddef>

struct FakeNccl {
  // What happens.
  std::atomic<int> polls{0};                              // a call is in progress until it was asked for so often
  std::atomic<bool> hangs{false};                         // sums stay in progress
  std::atomic<ncclResult_t> init_result{ncclSuccess};     // of ncclCommInitRankConfig, for the last rank
  std::atomic<ncclResult_t> connect_state{ncclSuccess};   // what becomes of it
  std::atomic<ncclResult_t> sum_state{ncclSuccess};       // what becomes of a collective
  std::atomic<ncclResult_t> finalize_state{ncclSuccess};  // of a communicator that is finalized
  // What was seen.
  std::atomic<int> open_groups{0}, connected{0}, finalized{0}, destroyed{0}, aborted{0}, collectives{0}, waits{0};
  std::atomic<bool> blocking{false};  // a communicator was made that blocks
  std::atomic<size_t> count{0};       // of the last collective
  std::atomic<ncclDataType_t> dtype{ncclInt8};
};

extern "C" FakeNccl* fake_nccl();
