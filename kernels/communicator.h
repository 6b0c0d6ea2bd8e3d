// Collectives between the ranks of one tensor-parallel group. Every rank calls the same verbs with the same shapes in
// the same order, each from its own thread. The sum is taken in f32 and in rank order, and rounded once, so every rank
// gets the same bits. (NCCL, which takes over for large sums, adds in an order of its own; there too the bits are the
// same on every rank.)
//
// A verb is enqueued on the rank's backend, and may be recorded into a graph: all ranks record together. Outside a
// graph the GPU's verbs return when they have run on every rank: nothing that makes the driver wait for a device (a
// kernel's first use, memory that is freed) may come between the ranks' halves of one verb.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace penstock {

class Communicator {
 public:
  // More ranks do not begin sums: on four H200 three of them hung, and four. (A copy may stand in a queue of the GPU that
  // it reads from; there a third rank's, early, would stand before one that it waits for in the end.)
  static constexpr int kMostBeginners = 2;

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void all_reduce_sum(const Tensor& x) = 0;  // [tokens, hidden], in place
  // out [rows, size * cols], part [rows, cols], in f32. Rows that are padding in `wanted` [rows], which is the same on
  // every rank, may be left out; where all are, next to nothing is done. (Without peer access none is left out.)
  virtual void all_gather_columns(const Tensor& out, const Tensor& part, const HeadRow* wanted = nullptr) = 0;
  // all_reduce_sum(op.x), then add_rms_norm(op): the same bits, however large. `backend` is this rank's.
  virtual void sum_add_rms_norm(const AddRmsNorm& op, Backend& backend) {
    all_reduce_sum(op.x);
    backend.add_rms_norm(op);
  }
  // all_reduce_sum in two verbs, so that others may run beside it; its bits are those of sums that NCCL does not take.
  // From the begin to the end the verbs leave x and `room` alone, and of the communicator's there is only the begin of
  // one more sum. Sums end in the order in which they began. `room` [(size - 1) x.rows, cols], of x's stride, is where
  // what other ranks have may be brought; on the CPU, and where can_begin_sums() is false, the sum is taken at once.
  virtual void begin_sum(const Tensor& x, const Tensor& room) {
    static_cast<void>(room);
    all_reduce_sum(x);
  }
  virtual void end_sum(const Tensor& x) { static_cast<void>(x); }
  // end_sum(op.x), then add_rms_norm(op).
  virtual void end_sum_add_rms_norm(const AddRmsNorm& op, Backend& backend) {
    end_sum(op.x);
    backend.add_rms_norm(op);
  }
  // False: nothing is gained by it.
  virtual bool can_begin_sums() const { return true; }
  // Once a pass, between its uploads and its verbs. Ranks on one GPU wait for each other here: a copy may queue up
  // behind another stream's, and that one behind verbs which wait for this rank.
  virtual void begin_pass() {}
  // Returns when all that was enqueued has run on every rank. Before and after ranks do what may make the driver wait:
  // record a graph, above all.
  virtual void rest() = 0;
  // Ends the group after a fault: every rank that waits, now or later, gets Error(internal), and kernels that wait for
  // another rank's end, with undefined results. From any thread.
  virtual void abort() = 0;
  // For people: how sums are taken, by size. Empty where there is one way.
  virtual std::string description() const { return {}; }
};

enum class SumChoice { automatic, own, nccl };  // on GPUs; automatic: what is measured to be the fastest, by size

struct CommunicatorOptions {
  bool allow_slow = false;   // GPUs that do not see each other's memory over NVLink
  bool shares_gpus = false;  // a rank's GPU is another's, too, of this group (which is seen anyway) or of another
  SumChoice sums = SumChoice::automatic;
};

// One for each rank's backend: all on CPUs (ranks are threads of one process, kernels/cpu/thread_communicator.cpp), or
// all on GPUs, where several may be on one (for tests; kernels/cuda/peer_communicator.h). The backends must outlive all
// calls, but not the communicators. Errors: Error(usage) with describe_topology() for GPUs that need allow_slow,
// Error(no_device) for those that cannot reach each other, in the way that is chosen.
std::vector<std::unique_ptr<Communicator>> make_communicators(std::span<Backend* const> ranks,
                                                              const CommunicatorOptions& options = {});

// Over host memory.
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size);

// A table of how these GPUs reach each other's memory.
std::string describe_topology(std::span<const int> devices);
// Whether each of them reaches the others' memory over NVLink, or is the same. True for one alone.
bool in_one_nvlink_domain(std::span<const int> devices);

}  // namespace penstock
