#include "kernels/cuda/peer_communicator.h"

#include <exception>
#include <thread>

#include "kernels/cuda/check.h"
#include "kernels/cuda/make_cuda_backend.h"
#include "kernels/op_checks.h"

namespace penstock::cuda {
namespace {

int64_t bytes_of(const Tensor& x) { return x.rows * x.cols * dtype_bytes(x.dtype); }

bool is_whole(const Tensor& x) { return x.rows <= 1 || x.stride == x.cols; }

void check_bf16(const Tensor& x) {
  if (x.dtype != DType::bf16 || x.cols % 8 != 0 || x.stride % 8 != 0)
    throw Error(ExitCode::internal, "all_reduce_sum: not bf16 in multiples of 8");
}

}  // namespace

PeerCommunicator::PeerCommunicator(std::shared_ptr<PeerRanks> ranks, int rank, CudaBackend& backend)
    : ranks_(std::move(ranks)), rank_(rank), backend_(backend) {
  if (!ranks_->has_peer_memory() || size() > kMostBeginners) return;
  backend_.stream();  // selects the device
  begun_.emplace();
}

// Errors: Error(internal) on every rank when one's shape is another.
PeerTensors PeerCommunicator::meet_with(const Tensor& x) {
  PeerTensors all{.data = {}, .rows = x.rows, .cols = x.cols, .stride = x.stride};
  const std::span<const Tensor> shown = ranks_->meeting().show(rank_, x);
  for (int r = 0; r < size(); ++r) {
    const Tensor& other = shown[r];
    if (other.dtype != x.dtype || other.rows != x.rows || other.cols != x.cols || other.stride != x.stride) {
      abort();
      throw Error(ExitCode::internal, "the ranks' tensors are not of one shape");
    }
    all.data[r] = other.data;
  }
  return all;
}

// Eagerly, until the verb has run on every rank; see communicator.h.
void PeerCommunicator::finish() {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  PENSTOCK_CUDA(cudaStreamIsCapturing(backend_.stream(), &status));
  if (status == cudaStreamCaptureStatusNone) rest();
}

void PeerCommunicator::begin_pass() {
  if (ranks_->shares_gpu()) ranks_->meeting().meet();
}

void PeerCommunicator::rest() {
  backend_.synchronize();
  if (begun_) begun_->synchronize();
  ranks_->meeting().meet();
}

void PeerCommunicator::all_reduce_sum(const Tensor& x) {
  SumKind kind = ranks_->has_peer_memory() ? ranks_->kind_of(bytes_of(x)) : SumKind::nccl;
  if (kind == SumKind::nccl && !is_whole(x) && ranks_->has_peer_memory()) kind = SumKind::two_shot;
  sum_by(kind, x);
}

void PeerCommunicator::sum_by(SumKind kind, const Tensor& x) {
  const PeerTensors all = meet_with(x);
  check_bf16(x);
  const cudaStream_t stream = backend_.stream();
  if (kind == SumKind::nccl) {
    if (!ranks_->nccl() || !is_whole(x)) throw Error(ExitCode::internal, "all_reduce_sum: not a sum for NCCL");
    ranks_->nccl()->all_reduce_sum(rank_, x, stream);
  } else if (kind == SumKind::one_shot) {
    if (bytes_of(x) > kMostInboxBytes) throw Error(ExitCode::internal, "all_reduce_sum: too large for one shot");
    one_shot_sum(ranks_->group(rank_), x, stream);
  } else {
    two_shot_sum(ranks_->group(rank_), all, stream);
  }
  finish();
}

void PeerCommunicator::sum_add_rms_norm(const AddRmsNorm& op, Backend& backend) {
  const bool fits =
      ranks_->has_peer_memory() && ranks_->kind_of(bytes_of(op.x)) == SumKind::one_shot && op.x.cols <= kMostShotHidden;
  if (!fits) return Communicator::sum_add_rms_norm(op, backend);
  check(op, DType::bf16);
  meet_with(op.x);
  one_shot_sum_add_rms_norm(ranks_->group(rank_), op, backend_.stream());
  finish();
}

void PeerCommunicator::begin_sum(const Tensor& x, const Tensor& room) {
  if (!begun_) return all_reduce_sum(x);
  const PeerTensors all = meet_with(x);
  check_bf16(x);
  begun_->begin(ranks_->group(rank_), all, room, backend_.stream());
  finish();
}

// What ranks enqueue before it must be enqueued on all before one's kernel waits for the others: it may be a first use.
OtherParts PeerCommunicator::fetched(const Tensor& x) {
  ranks_->meeting().meet();
  return begun_->end(ranks_->group(rank_), x, backend_.stream());
}

void PeerCommunicator::end_sum(const Tensor& x) {
  if (!begun_) return;
  sum_others(x, fetched(x), backend_.stream());
  finish();
}

void PeerCommunicator::end_sum_add_rms_norm(const AddRmsNorm& op, Backend& backend) {
  if (!begun_) return backend.add_rms_norm(op);
  check(op, DType::bf16);
  cuda::sum_add_rms_norm(op, fetched(op.x), backend_.stream());
  finish();
}

void PeerCommunicator::all_gather_columns(const Tensor& out, const Tensor& part, const HeadRow* wanted) {
  if (out.dtype != DType::f32 || part.dtype != DType::f32 || out.rows != part.rows || out.cols != size() * part.cols)
    throw Error(ExitCode::internal, "all_gather_columns: out is not [rows, size * cols] in f32");
  const PeerTensors outs = meet_with(out);
  if (ranks_->has_peer_memory())
    gather_columns(ranks_->group(rank_), outs, part, wanted, backend_.stream());
  else
    gather_by_nccl(out, part);
  finish();
}

// NCCL puts the ranks' parts one after the other, and takes along what lies behind each row.
void PeerCommunicator::gather_by_nccl(const Tensor& out, const Tensor& part) {
  const int64_t pitch = part.stride * 4, bytes = part.rows * pitch;
  if (gathered_.bytes() < size() * bytes) {
    outgrown_.push_back(std::move(gathered_));
    gathered_ = backend_.allocate(size() * bytes);
  }
  const cudaStream_t stream = backend_.stream();
  ranks_->nccl()->all_gather(rank_, gathered_.data(), part.data, bytes, stream);
  for (int r = 0; r < size(); ++r)
    PENSTOCK_CUDA(cudaMemcpy2DAsync(out.columns(r * part.cols, part.cols).data, out.stride * 4,
                                    gathered_.as<char>() + r * bytes, pitch, part.cols * 4, part.rows,
                                    cudaMemcpyDeviceToDevice, stream));
}

std::vector<std::unique_ptr<Communicator>> make_cuda_communicators(std::span<Backend* const> backends,
                                                                   const CommunicatorOptions& options) {
  std::vector<CudaBackend*> gpus;
  for (Backend* backend : backends) gpus.push_back(dynamic_cast<CudaBackend*>(backend));
  const auto ranks = std::make_shared<PeerRanks>(gpus, options);
  std::vector<std::unique_ptr<PeerCommunicator>> communicators;
  for (int r = 0; r < ranks->size(); ++r)
    communicators.push_back(std::make_unique<PeerCommunicator>(ranks, r, *gpus[r]));
  if (ranks->has_peer_memory() && ranks->wants_measuring()) {
    std::vector<std::exception_ptr> errors(communicators.size());
    SumLimits limits;
    {
      std::vector<std::jthread> threads;
      for (int r = 0; r < ranks->size(); ++r)
        threads.emplace_back([&, r] {
          try {
            const SumLimits measured = measure_limits(*ranks, *communicators[r], *gpus[r]);
            if (r == 0) limits = measured;  // every rank's times differ a little
          } catch (...) {
            errors[r] = std::current_exception();
            ranks->abort();
          }
        });
    }
    for (const std::exception_ptr& error : errors)
      if (error) std::rethrow_exception(error);
    ranks->set_measured(limits);
  }
  return {std::make_move_iterator(communicators.begin()), std::make_move_iterator(communicators.end())};
}

bool is_cuda(const Backend& backend) { return dynamic_cast<const CudaBackend*>(&backend) != nullptr; }

}  // namespace penstock::cuda
