#include "engine/schedule/block_manager.h"

#include <string>

#include "kernels/error.h"

namespace penstock {
namespace {

[[noreturn]] void broken(const std::string& what) { throw Error(ExitCode::internal, "block manager: " + what); }

std::string name(int32_t block) { return "block " + std::to_string(block); }

}  // namespace

BlockManager::BlockManager(int32_t num_blocks)
    : state_(num_blocks, State::free),
      references_(num_blocks, 0),
      free_(num_blocks),
      next_(num_blocks + 1, num_blocks),
      previous_(num_blocks + 1, num_blocks) {
  // Low numbers are handed out first: a small job touches a small part of the pool.
  for (int32_t i = 0; i < num_blocks; ++i) free_[i] = num_blocks - 1 - i;
}

int32_t BlockManager::acquire() {
  int32_t block;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else if (num_cached_ > 0) {
    block = next_[num_blocks()];
    unlink_cached(block);
  } else {
    broken("no block is available");
  }
  state_[block] = State::used;
  references_[block] = 1;
  return block;
}

void BlockManager::retain(int32_t block) {
  if (state_[block] == State::free) broken(name(block) + " is free and cannot be shared");
  if (state_[block] == State::cached) {
    unlink_cached(block);
    state_[block] = State::used;
  }
  ++references_[block];
}

void BlockManager::release(int32_t block, bool keep) {
  if (state_[block] != State::used) broken(name(block) + " was released once too often");
  if (--references_[block] > 0) return;
  if (keep) {
    append_cached(block);
    state_[block] = State::cached;
  } else {
    free_.push_back(block);
    state_[block] = State::free;
  }
}

void BlockManager::append_cached(int32_t block) {
  const int32_t end = num_blocks(), last = previous_[end];
  next_[last] = previous_[end] = block;
  previous_[block] = last;
  next_[block] = end;
  ++num_cached_;
}

void BlockManager::unlink_cached(int32_t block) {
  next_[previous_[block]] = next_[block];
  previous_[next_[block]] = previous_[block];
  --num_cached_;
}

void BlockManager::check_consistency() const {
  const int32_t end = num_blocks();
  int32_t used = 0;
  for (int32_t block = 0; block < end; ++block) {
    used += state_[block] == State::used;
    if (references_[block] < 0) broken(name(block) + " has a negative reference count");
    if ((references_[block] > 0) != (state_[block] == State::used))
      broken(name(block) + " is " + (references_[block] > 0 ? "referenced, but not used" : "used by nobody"));
  }
  // No block is listed twice and each is in its list's state: with the total below, every block is accounted for.
  std::vector<bool> listed(end, false);
  auto list = [&](int32_t block, State state, const char* where) {
    if (block < 0 || block >= end) broken(std::string(where) + " list leaves the pool");
    if (listed[block]) broken(name(block) + " is listed twice");
    if (state_[block] != state) broken(name(block) + " is on the " + where + " list, but not " + where);
    listed[block] = true;
  };
  for (int32_t block : free_) list(block, State::free, "free");
  int32_t cached = 0;
  for (int32_t block = next_[end]; block != end; block = next_[block], ++cached) {
    list(block, State::cached, "cached");
    if (next_[previous_[block]] != block) broken("cached list is torn at " + name(block));
  }
  if (cached != num_cached_) broken("cached list has " + std::to_string(cached) + " blocks, not the number counted");
  if (num_free() + used + cached != end)
    broken(std::to_string(num_free()) + " free + " + std::to_string(used) + " used + " + std::to_string(cached) +
           " cached blocks are not " + std::to_string(end));
}

void BlockManager::check_consistency(std::span<const int32_t> expected) const {
  check_consistency();
  for (int32_t block = 0; block < num_blocks(); ++block)
    if (references_[block] != expected[block])
      broken(name(block) + " has " + std::to_string(references_[block]) + " references, but " +
             std::to_string(expected[block]) + " users");
}

}  // namespace penstock
