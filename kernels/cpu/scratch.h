// Cuts typed arrays out of the pool's scratch memory. Run once with no base to count the bytes, then with the memory.
#pragma once
#include <cstdint>

namespace penstock::cpu::PENSTOCK_ISA {

class Carver {
 public:
  explicit Carver(void* base = nullptr) : base_(reinterpret_cast<uintptr_t>(base)) {}
  template <class T>
  T* take(int64_t count) {
    uintptr_t at = base_ + static_cast<uintptr_t>(used_);
    used_ += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  }
  int64_t used() const { return used_; }

 private:
  uintptr_t base_;
  int64_t used_ = 0;
};

}  // namespace penstock::cpu::PENSTOCK_ISA
