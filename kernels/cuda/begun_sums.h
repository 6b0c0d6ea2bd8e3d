// Sums that begin early. Each rank fetches what the others have on a stream of its own, by the copy engine, which needs
// none of the multiprocessors: products are launched as one block for each of them, so that a kernel which holds some
// holds up a whole product. (Fetched by sixteen blocks, halves took longer than whole steps.) What was fetched is added
// by the kernel that also norms. Two ranks fetch as much as a sum in two shots moves.
//
// All kernels that wait for other ranks are on the verbs' stream, in the order of the verbs, and share its flags:
//     meet: every rank has its part · fork: fetch · others' verbs · join · meet: every rank has fetched · add
// The fork and the join are events, which a capture turns into edges of the graph.
//
// Ranks that share a GPU share its queues, those of graphs' branches and of copies too: a fetch may stand behind
// another rank's, and that one wait, in the end, for it. So there a kernel fetches, on the verbs' stream, and nothing
// runs beside it; all else is the same.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/cuda/ops.h"
#include "kernels/cuda/peer_group.h"

namespace penstock::cuda {

class BegunSums {
 public:
  // On the current device.
  BegunSums();
  ~BegunSums();
  BegunSums(const BegunSums&) = delete;
  BegunSums& operator=(const BegunSums&) = delete;

  // `stream` is the verbs'. Errors: Error(internal) for a third sum, or a room that does not fit.
  void begin(const PeerGroup& group, const PeerTensors& all, const Tensor& room, cudaStream_t stream);
  // Of the oldest, whose tensor here is x: on the stream it has been fetched by all. Errors: Error(internal) when x is
  // another.
  OtherParts end(const PeerGroup& group, const Tensor& x, cudaStream_t stream);
  // Waits for what was fetched so far.
  void synchronize() const;

 private:
  static constexpr unsigned kMost = 2;  // at the same time
  struct Sum {
    const void* x;
    Tensor room;
    cudaEvent_t fetched = nullptr;
  };
  void fetch(const PeerGroup& group, const PeerTensors& all, const Tensor& room, cudaStream_t stream);

  cudaStream_t stream_ = nullptr;  // of the fetches
  cudaEvent_t ready_ = nullptr;    // all ranks' parts
  Sum sums_[kMost]{};              // by turns
  unsigned begun_ = 0, ended_ = 0;
};

}  // namespace penstock::cuda
