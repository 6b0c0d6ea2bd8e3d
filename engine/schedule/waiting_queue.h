// Sequences that have not run yet, and which of them goes next.
//
// A window over the `look_ahead` oldest is reordered: sequences whose first block is equal go together (the prefix
// cache then holds what they share), and among groups and within a group the longest (prompt + max_tokens) goes first,
// so that the run does not end with one long sequence alone. None starves: the oldest of the window goes next once
// more than `look_ahead` sequences have been admitted since it entered. All operations cost O(log look_ahead).
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "engine/schedule/sequence_state.h"

namespace penstock {

class WaitingQueue {
 public:
  WaitingQueue(int32_t look_ahead, int32_t block_size);

  // In order of `arrival`.
  void push(std::unique_ptr<Sequence> sequence);

  // The first in admission order that is `ready`, or null. Stays in the queue.
  Sequence* next(const std::function<bool(const Sequence&)>& ready) const;

  // Takes it out, to be admitted: those that stay have been overtaken once more.
  std::unique_ptr<Sequence> take(Sequence& sequence);

  // Takes all out, in order of arrival.
  std::vector<std::unique_ptr<Sequence>> take_all();

  int32_t size() const { return static_cast<int32_t>(backlog_.size() + window_.size()); }
  bool empty() const { return backlog_.empty() && window_.empty(); }

  // Window and groups hold the same sequences. Throws Error(internal).
  void check_consistency() const;

 private:
  struct LongestFirst {
    bool operator()(const Sequence* a, const Sequence* b) const;
  };
  using Ordered = std::set<Sequence*, LongestFirst>;
  struct Entry {
    std::unique_ptr<Sequence> sequence;
    int64_t admissions_before;  // when it entered the window
  };

  void fill_window();

  const int32_t look_ahead_, block_size_;
  std::deque<std::unique_ptr<Sequence>> backlog_;
  std::map<uint64_t, Entry> window_;      // by arrival
  std::map<PrefixHash, Ordered> groups_;  // none empty
  Ordered leaders_;                       // the first of each group
  PrefixHash current_group_;              // of the last one taken
  int64_t admissions_ = 0;
};

}  // namespace penstock
