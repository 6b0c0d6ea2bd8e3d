// Finished sequences → Completion.
#include <algorithm>
#include <cassert>
#include <stdexcept>

#include "app/field_reader.h"
#include "app/prepare.h"
#include "app/stop_text.h"

namespace penstock {
namespace {

using Ids = std::span<const int32_t>;

std::string text_until_stop(const Tokenizer& tokenizer, const std::vector<std::string>& stops, Ids ids, bool ended) {
  StopText all(tokenizer, stops);
  for (int32_t id : ids)
    if (all.push(id)) return all.finish();
  if (!ended) return all.finish();
  // No stop string, so a stop token ended it, whose text is no part of the answer.
  StopText before(tokenizer, stops);
  for (int32_t id : ids.first(ids.size() - 1)) before.push(id);
  return before.finish();
}

std::string answer_text(const Tokenizer& tokenizer, const std::vector<std::string>& stops,
                        const SequenceOutput& output) {
  Ids ids = output.tokens;
  bool ended = output.reason == FinishReason::stop && !ids.empty();
  if (!stops.empty()) return text_until_stop(tokenizer, stops, ids, ended);
  return tokenizer.decode(ended ? ids.first(ids.size() - 1) : ids, true);
}

// A token's text depends on what stands before it: some decoders strip the first token's space.
std::string token_text(const Tokenizer& tokenizer, int32_t before, int32_t id) {
  std::string lead = tokenizer.decode(std::vector{before}, false);
  std::string both = tokenizer.decode(std::vector{before, id}, false);
  return both.starts_with(lead) ? both.substr(lead.size()) : tokenizer.decode(std::vector{id}, false);
}

std::vector<std::string> token_texts(const Tokenizer& tokenizer, const std::vector<int32_t>& prompt, Ids ids) {
  std::vector<std::string> texts;
  int32_t before = prompt.back();
  for (int32_t id : ids) {
    texts.push_back(token_text(tokenizer, before, id));
    before = id;
  }
  return texts;
}

// The engine tells by its words alone: logits that are NaN or infinite are the model's fault, the rest is a request
// that could never fit.
RecordError sequence_error(const Request& request, const SequenceOutput& output) {
  bool logits = output.error.find("finite") != std::string::npos || output.error.find("NaN") != std::string::npos;
  RecordError error =
      make_record_error(request, logits ? "non_finite_logits" : "context_length_exceeded", "", output.error);
  if (logits) error.status = 500;
  return error;
}

Score sum_scores(const SequenceOutput& output) {
  Score score{.sum_logprob = 0, .is_greedy = true, .num_tokens = static_cast<int32_t>(output.scores.size())};
  for (const TokenScore& token : output.scores) {
    score.sum_logprob += token.logprob;
    score.is_greedy = score.is_greedy && token.argmax;
  }
  return score;
}

void add_scores(Completion& completion, const Request& request, const std::vector<SequenceOutput>& outputs) {
  for (const SequenceOutput& output : outputs) completion.scores.push_back(sum_scores(output));
  if (request.kind == RequestKind::score) return;
  Score total{.sum_logprob = 0, .is_greedy = true, .num_tokens = 0};
  for (const Score& window : completion.scores) {
    total.sum_logprob += window.sum_logprob;
    total.is_greedy = total.is_greedy && window.is_greedy;
    total.num_tokens += window.num_tokens;
  }
  completion.scores = {total};
}

Choice make_choice(const PreparedRequest& prepared, size_t index, const SequenceOutput& output, const Tokenizer& text) {
  Choice choice;
  choice.index = static_cast<int32_t>(index);
  choice.text = answer_text(text, prepared.parameters.stop, output);
  choice.token_ids = output.tokens;
  choice.finish_reason = output.reason == FinishReason::stop ? "stop" : "length";
  if (!prepared.parameters.logprobs) return choice;
  if (output.logprobs.size() != output.tokens.size())
    throw std::logic_error("a sequence has another number of log-probabilities than of tokens");
  choice.logprobs = output.logprobs;
  choice.token_texts = token_texts(text, prepared.sequences[index].prompt, output.tokens);
  return choice;
}

// Of the request, whose choices may have run at different times.
void add_times(Completion& completion, const std::vector<SequenceOutput>& outputs) {
  for (const SequenceOutput& output : outputs) {
    bool first = &output == &outputs.front();
    auto earlier = [first](double& time, double other) { time = first ? other : std::min(time, other); };
    earlier(completion.queue_seconds, output.queue_seconds);
    earlier(completion.first_token_seconds, output.first_token_seconds);
    completion.total_seconds = std::max(completion.total_seconds, output.total_seconds);
    completion.cached_tokens += output.cached_tokens;
  }
}

}  // namespace

std::variant<Completion, RecordError> complete(const PreparedRequest& prepared,
                                               const std::vector<SequenceOutput>& outputs, const TextModel& text) {
  assert(outputs.size() == prepared.sequences.size());
  for (const SequenceOutput& output : outputs) {
    assert(output.reason != FinishReason::none);  // a dropped sequence has no answer, and its record is not written
    if (output.reason == FinishReason::error) return sequence_error(prepared.request, output);
  }
  Completion completion;
  for (const auto& prompt : prepared.prompts) completion.prompt_tokens += static_cast<int64_t>(prompt.size());
  add_times(completion, outputs);
  bool scoring = prepared.request.kind == RequestKind::score || prepared.request.kind == RequestKind::rolling;
  if (scoring)
    add_scores(completion, prepared.request, outputs);
  else
    for (size_t i = 0; i < outputs.size(); ++i)
      completion.choices.push_back(make_choice(prepared, i, outputs[i], text.tokenizer()));
  return completion;
}

}  // namespace penstock
