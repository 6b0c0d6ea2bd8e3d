// Host memory that copies to the device are made from, taken in turn: copies still under way keep what they read.
#pragma once
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace penstock {

class UploadRing {
 public:
  // `count` buffers of `bytes`, zero at first.
  UploadRing(Backend& backend, int count, int64_t bytes) : buffers_(count) {
    for (Buffer& buffer : buffers_) {
      buffer.host = backend.allocate_staging(bytes);
      std::memset(buffer.host.data(), 0, bytes);
    }
  }

  bool empty() const { return buffers_.empty(); }

  // The next buffer; waits until the copy that was made from it has been done.
  template <class T>
  T* take() {
    current_ = (current_ + 1) % buffers_.size();
    if (buffers_[current_].copied) buffers_[current_].copied->wait();
    return buffers_[current_].host.as<T>();
  }
  // Copies the first `bytes` of the buffer that was taken last.
  void upload(void* device, int64_t bytes, Backend& backend) {
    backend.upload_later(device, buffers_[current_].host.data(), bytes);
    buffers_[current_].copied = backend.mark();
  }

 private:
  struct Buffer {
    DeviceBuffer host;
    std::unique_ptr<Moment> copied;
  };
  std::vector<Buffer> buffers_;
  size_t current_ = 0;
};

}  // namespace penstock
