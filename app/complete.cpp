// Finished sequences → Completion.
#include <algorithm>
#include <cassert>
#include <stdexcept>

#include "app/field_reader.h"
#include "app/prepare.h"
#include "app/stop_text.h"
#include "app/token_texts.h"

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

RecordError sequence_error(const Request& request, const SequenceOutput& output) {
  auto record = [&](const char* code, const char* param, int status) {
    RecordError error = make_record_error(request, code, param, output.error);
    error.status = status;
    return error;
  };
  switch (output.fault) {
    case SequenceFault::non_finite_logits:
      return record("non_finite_logits", "", 500);
    case SequenceFault::all_ids_banned:
      return record("all_ids_banned", request.parameters.logit_bias.empty() ? "min_tokens" : "logit_bias", 400);
    case SequenceFault::never_fits:
      return record("context_length_exceeded", "", 400);
    case SequenceFault::none:
      break;
  }
  throw std::logic_error("a sequence failed without a fault: " + output.error);
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

// One choice's text and log-probabilities, the echoed prompt's in front.
class ChoiceMaker {
 public:
  // `scored`: the output that has the prompt's scores; the first choice's.
  ChoiceMaker(const PreparedRequest& prepared, size_t prompt, const SequenceOutput& output,
              const SequenceOutput& scored, const Tokenizer& text)
      : prepared_(prepared),
        prompt_(prompt),
        ids_(prepared.prompts[prompt]),
        output_(output),
        scored_(scored),
        text_(text) {}

  Choice make(size_t index) const {
    Choice choice;
    choice.index = static_cast<int32_t>(index);
    choice.token_ids = output_.tokens;
    choice.finish_reason = output_.reason == FinishReason::stop ? "stop" : "length";
    const std::string answer = answer_text(text_, prepared_.parameters.stop, output_);
    choice.text = prepared_.parameters.echo ? echo() + sequel_text(text_, ids_.back(), output_.tokens, answer) : answer;
    if (!prepared_.parameters.logprobs) return choice;
    if (prepared_.parameters.echo) add_prompt(choice.logprobs);
    add_answer(choice.logprobs);
    return choice;
  }

 private:
  std::string echo() const {
    const std::optional<std::string>& given = prepared_.request.prompts[prompt_].text;
    return given ? *given : text_.decode(ids_, true);
  }

  void add_prompt(std::vector<TokenLogprob>& list) const {
    if (scored_.scores.size() + 1 != ids_.size())
      throw std::logic_error("an echoed prompt has another number of scores than of tokens");
    const std::vector<int64_t> offsets = token_offsets(text_, ids_);
    const int64_t end = count_characters(echo());
    for (size_t i = 0; i < ids_.size(); ++i) {
      const std::optional<int32_t> before = i > 0 ? std::optional(ids_[i - 1]) : std::nullopt;
      // What the tokenizer normalized has another length than what was given.
      TokenLogprob& token =
          list.emplace_back(TokenLogprob{token_text(text_, before, ids_[i]), {}, std::min(offsets[i], end), {}});
      if (i == 0) continue;
      token.logprob = scored_.scores[i - 1].logprob;
      token.top = likely(before, scored_.score_top_logprobs, i - 1);
    }
  }

  void add_answer(std::vector<TokenLogprob>& list) const {
    if (output_.logprobs.size() != output_.tokens.size())
      throw std::logic_error("a sequence has another number of log-probabilities than of tokens");
    int32_t before = ids_.back();
    const bool echoed = prepared_.parameters.echo;
    const std::vector<int64_t> offsets =
        echoed ? sequel_offsets(text_, before, output_.tokens) : token_offsets(text_, output_.tokens);
    const int64_t begin = echoed ? count_characters(echo()) : 0;
    for (size_t i = 0; i < output_.tokens.size(); ++i) {
      list.push_back({token_text(text_, before, output_.tokens[i]), output_.logprobs[i], begin + offsets[i],
                      likely(before, output_.top_logprobs, i)});
      before = output_.tokens[i];
    }
  }

  std::vector<LikelyToken> likely(std::optional<int32_t> before, const std::vector<std::vector<TopLogprob>>& tops,
                                  size_t index) const {
    std::vector<LikelyToken> list;
    if (*prepared_.parameters.logprobs == 0) return list;
    for (const TopLogprob& one : tops.at(index)) list.push_back({token_text(text_, before, one.id), one.logprob});
    return list;
  }

  const PreparedRequest& prepared_;
  const size_t prompt_;
  const std::vector<int32_t>& ids_;
  const SequenceOutput& output_;
  const SequenceOutput& scored_;
  const Tokenizer& text_;
};

void add_choices(Completion& completion, const PreparedRequest& prepared, const std::vector<SequenceOutput>& outputs,
                 const Tokenizer& text) {
  const size_t choices = static_cast<size_t>(prepared.parameters.n.value_or(1));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const size_t prompt = i / choices;
    completion.choices.push_back(ChoiceMaker(prepared, prompt, outputs[i], outputs[prompt * choices], text).make(i));
  }
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
    add_choices(completion, prepared, outputs, text.tokenizer());
  return completion;
}

}  // namespace penstock
