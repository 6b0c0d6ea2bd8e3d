// Which replica gets which of the sequences that wait. Decides by numbers alone: no threads, no engines.
//
// A sequence that has been given cannot be taken back, so a replica gets what it can begin soon, and the rest stays
// here for whoever is free first:
//   - One that left nobody waiting has room. It gets as many prompts as fit one of its steps, the one with the fewest
//     sequences first.
//   - While many wait, each also has a share of them in stock, 1/(2 replicas) of what is left (guided self-scheduling,
//     Polychronopoulos and Kuck 1987): its scheduler puts equal prefixes together and the longest first, and lines that
//     stand together go to one prefix cache. It is filled up once half is gone. The shares shrink to nothing towards
//     the end, where they would make others idle.
// A single replica gets everything at once.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "engine/schedule/sequence.h"

namespace penstock {

struct ReplicaLoad {          // as its last step ended
  int64_t running = 0;        // begun, not ended
  int64_t waiting = 0;        // the plan before had no room for them
  int64_t queued = 0;         // given since: its next plan is the first that sees them
  int64_t queued_tokens = 0;  // of their prompts

  void add(const SequenceInput& input) {
    ++queued;
    queued_tokens += static_cast<int64_t>(input.prompt.size());
  }
};

class Dispatcher {
 public:
  // The limits of a replica's step.
  Dispatcher(int32_t max_batch, int32_t max_step_tokens);

  // Sequences of one line. Neighbours that begin alike stay together: the choices of a prompt, continuations of one
  // context.
  void add(std::vector<SequenceInput> inputs);

  struct Share {
    size_t replica = 0;
    std::vector<SequenceInput> sequences;
  };
  // What can be given now, and is given thereby: `loads` (of all replicas) is brought up to date. Call until empty.
  std::optional<Share> next(std::vector<ReplicaLoad>& loads);

  std::vector<uint64_t> drop_all();  // their tags

 private:
  using Group = std::vector<SequenceInput>;
  int64_t share_of_each(size_t replicas) const;
  // How many sequences it should get; 0: none now.
  int64_t wanted(const ReplicaLoad& load, size_t replicas) const;

  const int32_t max_batch_, max_step_tokens_;
  std::deque<Group> groups_;
  int64_t waiting_ = 0;  // sequences of all groups
};

}  // namespace penstock
