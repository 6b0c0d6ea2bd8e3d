#include "tests/cuda_on_cpu/device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

// Goes on where `load` was saved, after saving this place into *save. x86-64, System V.
extern "C" void penstock_switch_stacks(void** save, void* load);
asm(R"(
.globl penstock_switch_stacks
.type penstock_switch_stacks, @function
penstock_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace penstock::cuda_on_cpu {

namespace {
constexpr size_t kStackBytes = 64 << 10;
constexpr int kSavedRegisters = 6;
}  // namespace

Device& device() {
  static Device one(1);
  return one;
}

void PhaseBarrier::expect(int64_t bytes) {
  bytes_ += bytes;
  missing_--;
  settle();
}
void PhaseBarrier::deliver(int64_t bytes) {
  bytes_ -= bytes;
  settle();
}
void PhaseBarrier::settle() {
  if (missing_ > 0 || bytes_ != 0) return;
  phase_ ^= 1;
  missing_ = arrivals_;
  device().go_on(waiting_);
}
void PhaseBarrier::wait(uint32_t parity) {
  while (phase_ == parity) {
    waiting_.push_back(&device().current());
    device().wait();
  }
}

void Device::run(dim3 grid, int blocks_of_cluster, int threads, size_t shared_bytes, std::function<void()> kernel) {
  kernel_ = std::move(kernel);
  grid_ = grid, threads_ = threads;
  for (unsigned y = 0; y < grid.y; ++y)
    for (unsigned x = 0; x < grid.x; x += static_cast<unsigned>(blocks_of_cluster))
      run_cluster({x, y, 0}, blocks_of_cluster, shared_bytes);
}

void Device::run_cluster(uint3 first_block, int blocks, size_t shared_bytes) {
  constexpr size_t kAligned = 128;
  cluster_ = std::vector<Block>(blocks);
  all_ = std::vector<Thread>(static_cast<size_t>(blocks) * threads_);
  while (stacks_.size() < all_.size()) stacks_.push_back(std::make_unique_for_overwrite<char[]>(kStackBytes));
  barriers_.clear();
  steps_ = 0;
  for (int b = 0; b < blocks; ++b) {
    Block& block = cluster_[b];
    block.rank = b, block.number = {first_block.x + static_cast<unsigned>(b), first_block.y, 0};
    block.memory = std::make_unique_for_overwrite<char[]>(shared_bytes + kAligned);
    std::generate_n(block.memory.get(), shared_bytes + kAligned, [&] { return static_cast<char>(random_()); });
    const auto address = reinterpret_cast<uintptr_t>(block.memory.get());
    block.shared = block.memory.get() + (kAligned - address % kAligned);
    block.warps = std::vector<Warp>((threads_ + kLanes - 1) / kLanes);
    for (int t = 0; t < threads_; ++t) {
      const size_t i = static_cast<size_t>(b) * threads_ + t;
      all_[i].block = &block, all_[i].warp = &block.warps[t / kLanes], all_[i].number = static_cast<unsigned>(t);
      start(all_[i], stacks_[i].get());
    }
  }
  while (!ready_.empty() || !deliveries_.empty()) {
    constexpr int kOften = 64;  // threads go on between two deliveries
    if (!deliveries_.empty() && (ready_.empty() || random_() % kOften == 0)) {
      take_any(deliveries_)();
      continue;
    }
    current_ = next_thread();
    penstock_switch_stacks(&stack_pointer_, current_->stack_pointer);
  }
  if (!std::ranges::all_of(all_, &Thread::has_ended)) fail("threads wait for ever");
}

// One thread, another after a while, waits until no other can go on.
Thread* Device::next_thread() {
  constexpr uint64_t kWhile = 1 << 15;
  if (steps_++ % kWhile == 0) late_ = &all_[random_() % all_.size()];
  Thread* thread = take_any(ready_);
  if (thread != late_ || ready_.empty()) return thread;
  Thread* other = take_any(ready_);
  ready_.push_back(thread);
  return other;
}

template <class T>
T Device::take_any(std::vector<T>& from) {
  std::swap(from[random_() % from.size()], from.back());
  T taken = std::move(from.back());
  from.pop_back();
  return taken;
}

// Ready to enter run_thread() as if it had been called.
void Device::start(Thread& thread, char* stack) {
  auto** top = reinterpret_cast<void**>(stack + kStackBytes - 64);
  *--top = nullptr;  // nobody to return to
  *--top = reinterpret_cast<void*>(&run_thread);
  top -= kSavedRegisters;
  thread.stack_pointer = top;
  ready_.push_back(&thread);
}
void Device::run_thread() {
  device().kernel_();
  device().current_->has_ended = true;
  for (;;) device().wait();
}
void Device::wait() {
  Thread& thread = *current_;
  penstock_switch_stacks(&thread.stack_pointer, stack_pointer_);
}
void Device::go_on(std::vector<Thread*>& threads) {
  ready_.insert(ready_.end(), threads.begin(), threads.end());
  threads.clear();
}

int Device::with_block(bool value) {
  Block& block = *current_->block;
  if (block.meeting.arrived == 0) block.count = 0;
  block.count += value ? 1 : 0;
  meet(block.meeting, threads_, [&] { block.result = block.count; });
  return block.result;
}
void Device::with_cluster() {
  meet(meeting_, static_cast<int>(all_.size()), [] {});
}
PhaseBarrier* Device::make_barrier(int arrivals) {
  barriers_.push_back(std::make_unique<PhaseBarrier>(arrivals));
  return barriers_.back().get();
}

void Device::fail(const char* what) {
  std::fprintf(stderr, "cuda_on_cpu: %s\n", what);
  for (const Block& block : cluster_) {
    const auto at_work =
        std::ranges::count_if(all_, [&](const Thread& t) { return t.block == &block && !t.has_ended; });
    std::fprintf(stderr, "  block %d: %d threads have not ended, %d of them are at its barrier\n", block.rank,
                 static_cast<int>(at_work), block.meeting.arrived);
  }
  std::abort();
}

}  // namespace penstock::cuda_on_cpu
