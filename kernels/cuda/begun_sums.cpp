#include "kernels/cuda/begun_sums.h"

#include "kernels/cuda/check.h"

namespace penstock::cuda {

BegunSums::BegunSums() {
  int lowest = 0, highest = 0;
  PENSTOCK_CUDA(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  PENSTOCK_CUDA(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, highest));
  PENSTOCK_CUDA(cudaEventCreateWithFlags(&ready_, cudaEventDisableTiming));
  for (Sum& sum : sums_) PENSTOCK_CUDA(cudaEventCreateWithFlags(&sum.fetched, cudaEventDisableTiming));
}

BegunSums::~BegunSums() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
  cudaEventDestroy(ready_);
  for (const Sum& sum : sums_) cudaEventDestroy(sum.fetched);
}

void BegunSums::begin(const PeerGroup& group, const PeerTensors& all, const Tensor& room, cudaStream_t stream) {
  if (begun_ - ended_ == kMost) throw Error(ExitCode::internal, "begin_sum: too many at the same time");
  if (room.rows != (group.ranks - 1) * all.rows || room.cols != all.cols || room.stride != all.stride)
    throw Error(ExitCode::internal, "begin_sum: the room is not [(size - 1) rows, cols]");
  meet_ranks(group, stream);
  const cudaStream_t fetches = group.shares_gpu ? stream : stream_;
  PENSTOCK_CUDA(cudaEventRecord(ready_, stream));
  PENSTOCK_CUDA(cudaStreamWaitEvent(fetches, ready_));
  fetch(group, all, room, fetches);
  Sum& sum = sums_[begun_++ % kMost];
  sum.x = all.data[group.rank], sum.room = room;
  PENSTOCK_CUDA(cudaEventRecord(sum.fetched, fetches));
}

// The gaps behind rows come along.
void BegunSums::fetch(const PeerGroup& group, const PeerTensors& all, const Tensor& room, cudaStream_t stream) {
  const int64_t bytes = all.rows * all.stride * dtype_bytes(room.dtype);
  for (int k = 1; k < group.ranks; ++k) {
    const int from = (group.rank + k) % group.ranks;
    char* to = static_cast<char*>(room.data) + (from < group.rank ? from : from - 1) * bytes;
    if (group.shares_gpu)
      copy_by_kernel(to, all.data[from], bytes, stream);
    else
      PENSTOCK_CUDA(cudaMemcpyAsync(to, all.data[from], static_cast<size_t>(bytes), cudaMemcpyDefault, stream));
  }
}

OtherParts BegunSums::end(const PeerGroup& group, const Tensor& x, cudaStream_t stream) {
  if (begun_ == ended_ || sums_[ended_ % kMost].x != x.data)
    throw Error(ExitCode::internal, "end_sum: not the oldest sum that was begun");
  const Sum& sum = sums_[ended_++ % kMost];
  PENSTOCK_CUDA(cudaStreamWaitEvent(stream, sum.fetched));
  meet_ranks(group, stream);
  return {.rank = group.rank, .ranks = group.ranks, .x = sum.room};
}

void BegunSums::synchronize() const { PENSTOCK_CUDA(cudaStreamSynchronize(stream_)); }

}  // namespace penstock::cuda
