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
    const cudaError_t status = cudaEventRecord(event_, stream);
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
