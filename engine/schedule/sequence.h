// One sequence: a prompt that grows, or a text to be scored. The unit of scheduling.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/step_view.h"

namespace penstock {

// How tokens are drawn (design.md §6, §7); a resolved copy, no field means "default".
struct SamplingParams {
  float temperature = 1;
  float top_p = 1;
  float min_p = 0;
  int32_t top_k = 0;           // 0: all
  uint64_t seed = 0;           // the request's, or the hash of the run's seed and the line's id
  float repetition_penalty = 1;
  float frequency_penalty = 0;
  float presence_penalty = 0;
  std::vector<LogitEdit> logit_bias;  // ids ascending, at most kMaxLogitEdits with the stop ids that min_tokens bans
  int32_t top_logprobs = 0;    // alternatives wanted a token, generated or scored
};

// When a sequence ends. Called with each token once it is known, in order.
struct StopRule {
  std::vector<int32_t> stop_ids;       // EOS and stop_token_ids; empty with ignore_eos
  int32_t max_tokens = 16;             // new tokens at most
  int32_t min_tokens = 0;              // stop ids are not drawn before
};

// Watches the text of one sequence for stop strings: true once one has been completed by `id`.
// Called on the engine thread, tokens in order, each once.
using StopWatcher = std::function<bool(int32_t id)>;

enum class FinishReason { none, stop, length, scored, error };

// What comes in. Immutable once added.
struct SequenceInput {
  uint64_t tag = 0;                    // the caller's; comes back in SequenceOutput
  uint64_t request = 0;                // sequences of one request (its n choices) share prompt and request number
  int32_t choice = 0;                  // [0, n)
  std::vector<int32_t> prompt;         // at least one id
  SamplingParams sampling;
  StopRule stop;
  StopWatcher stop_watcher;            // empty without stop strings
  int32_t score_from = -1;             // >= 1: score prompt[score_from …]; with stop.max_tokens 0 nothing is generated
};

struct TokenScore {
  float logprob = 0;
  bool argmax = false;
};

// Why a sequence ended with FinishReason::error.
enum class SequenceFault { none, never_fits, non_finite_logits, all_ids_banned };

struct SequenceOutput {
  uint64_t tag = 0;
  FinishReason reason = FinishReason::none;
  SequenceFault fault = SequenceFault::none;
  std::string error;                   // for FinishReason::error: why
  std::vector<int32_t> tokens;         // generated, the ending token included, nothing after it
  std::vector<float> logprobs;         // [tokens], of the raw logits
  std::vector<TokenScore> scores;      // of prompt[score_from …]
  std::vector<std::vector<TopLogprob>> top_logprobs;        // [tokens], where wanted
  std::vector<std::vector<TopLogprob>> score_top_logprobs;  // [scores], where wanted
  int32_t cached_tokens = 0;           // prompt tokens that the prefix cache held at first admission
  double queue_seconds = 0;            // from add() to first admission
  double first_token_seconds = 0;      // from add() to the commit of the first token
  double total_seconds = 0;            // from add() to the end
  int32_t preemptions = 0;
};

}  // namespace penstock
