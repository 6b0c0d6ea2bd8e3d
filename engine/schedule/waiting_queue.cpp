#include "engine/schedule/waiting_queue.h"

#include <algorithm>
#include <span>
#include <utility>

#include "kernels/error.h"

namespace penstock {

bool WaitingQueue::LongestFirst::operator()(const Sequence* a, const Sequence* b) const {
  const int64_t a_length = a->worst_length(), b_length = b->worst_length();
  return a_length != b_length ? a_length > b_length : a->arrival < b->arrival;
}

WaitingQueue::WaitingQueue(int32_t look_ahead, int32_t block_size) : look_ahead_(look_ahead), block_size_(block_size) {}

void WaitingQueue::push(std::unique_ptr<Sequence> sequence) {
  backlog_.push_back(std::move(sequence));
  fill_window();
}

void WaitingQueue::fill_window() {
  while (!backlog_.empty() && window_.size() < static_cast<size_t>(look_ahead_)) {
    std::unique_ptr<Sequence> owned = std::move(backlog_.front());
    backlog_.pop_front();
    Sequence* sequence = owned.get();
    // A prompt shorter than a block groups with its own repetitions, such as the choices of one request.
    const size_t ids = std::min<size_t>(block_size_, sequence->tokens.size());
    sequence->group = extend_prefix({}, std::span(sequence->tokens).first(ids));
    window_.emplace(sequence->arrival, Entry{std::move(owned), admissions_});

    Ordered& group = groups_[sequence->group];
    if (!group.empty()) leaders_.erase(*group.begin());
    group.insert(sequence);
    leaders_.insert(*group.begin());
  }
}

Sequence* WaitingQueue::next(const std::function<bool(const Sequence&)>& ready) const {
  if (window_.empty()) return nullptr;
  const Entry& oldest = window_.begin()->second;
  if (admissions_ - oldest.admissions_before > look_ahead_ && ready(*oldest.sequence)) return oldest.sequence.get();

  auto first_ready = [&](const Ordered& group) -> Sequence* {
    const auto found = std::find_if(group.begin(), group.end(), [&](const Sequence* s) { return ready(*s); });
    return found == group.end() ? nullptr : *found;
  };
  if (const auto current = groups_.find(current_group_); current != groups_.end())
    if (Sequence* found = first_ready(current->second)) return found;
  for (const Sequence* leader : leaders_)
    if (Sequence* found = first_ready(groups_.at(leader->group))) return found;
  return nullptr;
}

std::unique_ptr<Sequence> WaitingQueue::take(Sequence& sequence) {
  auto node = window_.extract(sequence.arrival);
  if (node.empty()) throw Error(ExitCode::internal, "waiting queue: took a sequence that is not in the window");

  const auto group = groups_.find(sequence.group);
  leaders_.erase(*group->second.begin());
  group->second.erase(&sequence);
  if (group->second.empty())
    groups_.erase(group);
  else
    leaders_.insert(*group->second.begin());

  current_group_ = sequence.group;
  ++admissions_;
  fill_window();
  return std::move(node.mapped().sequence);
}

std::vector<std::unique_ptr<Sequence>> WaitingQueue::take_all() {
  std::vector<std::unique_ptr<Sequence>> all;
  all.reserve(size());
  for (auto& [arrival, entry] : window_) all.push_back(std::move(entry.sequence));
  for (auto& sequence : backlog_) all.push_back(std::move(sequence));
  window_.clear();
  backlog_.clear();
  groups_.clear();
  leaders_.clear();
  return all;
}

void WaitingQueue::check_consistency() const {
  size_t grouped = 0;
  for (const auto& [key, group] : groups_) {
    grouped += group.size();
    if (group.empty() || !leaders_.count(*group.begin()))
      throw Error(ExitCode::internal, "waiting queue: a group is empty or its longest sequence does not lead it");
    for (const Sequence* sequence : group)
      if (!window_.count(sequence->arrival))
        throw Error(ExitCode::internal, "waiting queue: a grouped sequence is not in the window");
  }
  if (grouped != window_.size() || leaders_.size() != groups_.size())
    throw Error(ExitCode::internal, "waiting queue: window and groups differ");
  if (!backlog_.empty() && window_.size() != static_cast<size_t>(look_ahead_))
    throw Error(ExitCode::internal, "waiting queue: the window is not full though more are waiting");
}

}  // namespace penstock
