// Collectives between the ranks of one tensor-parallel group. Every rank calls the same verbs in the same order, each
// from its own thread. The sum is taken in rank order, so every rank gets the same bits.
#pragma once
#include <memory>
#include <vector>

#include "kernels/tensor.h"

namespace penstock {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual void all_reduce_sum(const Tensor& x) = 0;                           // [tokens, hidden], in place
  virtual void all_gather_columns(const Tensor& out, const Tensor& part) = 0; // out [rows, size * cols], part [rows, cols]
  // Ends the group after a fault: every rank that waits, now or later, gets Error(internal). From any thread.
  virtual void abort() = 0;
};

// Ranks as threads of one process, over host memory (kernels/cpu/thread_communicator.cpp).
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size);

}  // namespace penstock
