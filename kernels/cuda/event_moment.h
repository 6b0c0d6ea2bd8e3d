// Moment as a CUDA event.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/backend.h"
#include "kernels/cuda/check.h"

namespace penstock::cuda {

class EventMoment : public Moment {
 public:
  // After all that `stream` has been given so far.
  explicit EventMoment(cudaStream_t stream, unsigned flags = cudaEventDefault) {
    PENSTOCK_CUDA(cudaEventCreateWithFlags(&event_, flags));
    // While a graph is captured the moment becomes part of it, and comes anew with every replay.
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    cudaError_t status = cudaStreamIsCapturing(stream, &capture);
    const bool captured = capture == cudaStreamCaptureStatusActive;
    if (status == cudaSuccess)
      status = cudaEventRecordWithFlags(event_, stream, captured ? cudaEventRecordExternal : cudaEventRecordDefault);
    if (status != cudaSuccess) cudaEventDestroy(event_);
    check(status, "cudaEventRecord");
  }
  ~EventMoment() override { cudaEventDestroy(event_); }
  EventMoment(const EventMoment&) = delete;

  void wait() const override { PENSTOCK_CUDA(cudaEventSynchronize(event_)); }
  double seconds_since(const Moment& earlier) const override {
    float milliseconds = 0;
    PENSTOCK_CUDA(cudaEventElapsedTime(&milliseconds, static_cast<const EventMoment&>(earlier).event_, event_));
    return milliseconds * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace penstock::cuda
