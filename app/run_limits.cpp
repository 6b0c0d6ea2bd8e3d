#include "app/run_limits.h"

#include <algorithm>

namespace penstock {
namespace {

// What the engine will say of one sequence where alternatives are wanted, which outweighs its ids by far.
size_t alternatives_bytes(const SequenceInput& sequence) {
  const size_t scored = sequence.score_from >= 1 ? sequence.prompt.size() - sequence.score_from : 0;
  const size_t tokens = scored + static_cast<size_t>(std::max(0, sequence.stop.max_tokens));
  const int32_t wanted = sequence.sampling.top_logprobs;
  return wanted == 0 ? 0 : tokens * (sizeof(std::vector<TopLogprob>) + wanted * sizeof(TopLogprob));
}

}  // namespace

int64_t bytes_of(const PreparedRequest& prepared) {
  size_t bytes = prepared.prompt_text.size();
  for (const auto& prompt : prepared.prompts) bytes += prompt.size() * sizeof(int32_t);
  for (const auto& sequence : prepared.sequences) {
    const size_t own =
        sequence.prompt.size() * sizeof(int32_t) + sequence.sampling.logit_bias.size() * sizeof(LogitEdit);
    bytes += sizeof(SequenceInput) + 2 * own + alternatives_bytes(sequence);  // the engine's copy as well
  }
  return static_cast<int64_t>(bytes);
}

RunLimits run_limits(const EngineConfig& config) {
  RunLimits limits;
  // Where the number of replicas is open, of as many as there may be.
  const auto replicas = config.replicas ? config.replicas : static_cast<int64_t>(config.devices.size());
  limits.requests = limits.sequences = 1024 + 4 * replicas * config.max_batch;
  return limits;
}

}  // namespace penstock
