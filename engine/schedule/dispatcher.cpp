#include "engine/schedule/dispatcher.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace penstock {
namespace {

// Enough to be worth computing once.
constexpr size_t kSharedTokens = 16;

bool begin_alike(const SequenceInput& a, const SequenceInput& b) {
  if (a.request == b.request) return true;
  return std::min(a.prompt.size(), b.prompt.size()) >= kSharedTokens &&
         std::equal(a.prompt.begin(), a.prompt.begin() + kSharedTokens, b.prompt.begin());
}

int64_t tokens_of(const std::vector<SequenceInput>& group) {
  int64_t tokens = 0;
  for (const SequenceInput& input : group) tokens += static_cast<int64_t>(input.prompt.size());
  return tokens;
}

int64_t sequences_of(const ReplicaLoad& load) { return load.running + load.waiting + load.queued; }

}  // namespace

Dispatcher::Dispatcher(int32_t max_batch, int32_t max_step_tokens)
    : max_batch_(max_batch), max_step_tokens_(max_step_tokens) {}

void Dispatcher::add(std::vector<SequenceInput> inputs) {
  waiting_ += static_cast<int64_t>(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool joins = i > 0 && begin_alike(groups_.back().back(), inputs[i]);
    if (!joins) groups_.emplace_back();
    groups_.back().push_back(std::move(inputs[i]));
  }
}

int64_t Dispatcher::share_of_each(size_t replicas) const { return waiting_ / (2 * static_cast<int64_t>(replicas)); }

int64_t Dispatcher::wanted(const ReplicaLoad& load, size_t replicas) const {
  if (replicas == 1) return std::numeric_limits<int64_t>::max();
  const int64_t stock = load.waiting + load.queued, share = share_of_each(replicas);
  if (stock < share / 2) return share - stock;
  const bool has_room = load.waiting == 0 && load.running + load.queued < max_batch_ &&
                        (load.queued == 0 || load.queued_tokens + tokens_of(groups_.front()) <= max_step_tokens_);
  return has_room ? 1 : 0;
}

std::optional<Dispatcher::Share> Dispatcher::next(std::vector<ReplicaLoad>& loads) {
  if (groups_.empty()) return std::nullopt;
  std::optional<size_t> chosen;
  for (size_t r = 0; r < loads.size(); ++r)
    if (wanted(loads[r], loads.size()) > 0 && (!chosen || sequences_of(loads[r]) < sequences_of(loads[*chosen])))
      chosen = r;
  if (!chosen) return std::nullopt;

  Share share{*chosen, {}};
  ReplicaLoad& load = loads[*chosen];
  for (int64_t left = wanted(load, loads.size()); left > 0 && !groups_.empty(); groups_.pop_front()) {
    Group& group = groups_.front();
    left -= static_cast<int64_t>(group.size());
    for (SequenceInput& input : group) {
      load.add(input);
      share.sequences.push_back(std::move(input));
    }
  }
  waiting_ -= static_cast<int64_t>(share.sequences.size());
  return share;
}

std::vector<uint64_t> Dispatcher::drop_all() {
  std::vector<uint64_t> tags;
  for (const Group& group : groups_)
    for (const SequenceInput& input : group) tags.push_back(input.tag);
  groups_.clear();
  waiting_ = 0;
  return tags;
}

}  // namespace penstock
