#include "app/prepare.h"

#include <xxhash.h>

#include <algorithm>
#include <cassert>

#include "app/field_reader.h"
#include "app/scoring.h"
#include "app/stop_text.h"

namespace penstock {
namespace {

using Ids = std::vector<int32_t>;

// No two lines share an id, so lines without a seed of their own draw independently; so do a line's prompts.
uint64_t make_seed(uint64_t run_seed, const std::string& id, uint64_t prompt) {
  uint64_t seed = XXH3_64bits_withSeed(id.data(), id.size(), run_seed);
  return prompt == 0 ? seed : XXH3_64bits_withSeed(&prompt, sizeof prompt, seed);
}

class Preparation {
 public:
  Preparation(PreparedRequest& prepared, const TextModel& text, const PrepareOptions& options)
      : prepared_(prepared), request_(prepared.request), text_(text), options_(options) {}

  void run() {
    switch (request_.kind) {
      case RequestKind::score:
        return add_continuations();
      case RequestKind::rolling:
        return add_windows();
      default:
        break;
    }
    if (request_.is_chat())
      prepared_.prompts.push_back(encode_chat());
    else
      for (size_t i = 0; i < request_.prompts.size(); ++i) prepared_.prompts.push_back(encode_prompt(i));
    for (size_t i = 0; i < prepared_.prompts.size(); ++i) add_choices(i);
  }

 private:
  Ids encode_chat() {
    auto rendered = text_.render_chat(request_.messages, request_.tools, request_.template_kwargs,
                                      request_.add_generation_prompt, request_.continue_final_message);
    std::vector<Tokenizer::Range> literal;
    if (options_.literal_special_tokens)
      for (auto [begin, end] : rendered.from_request) literal.push_back({begin, end});
    prepared_.prompt_text = std::move(rendered.text);
    Ids ids = text_.tokenizer().encode(prepared_.prompt_text, false, literal);
    check_prompt("messages", ids);
    return ids;
  }

  Ids encode_prompt(size_t index) {
    const Prompt& prompt = request_.prompts[index];
    std::string field = request_.kind == RequestKind::bare && !prompt.text ? "prompt_token_ids" : "prompt";
    if (request_.prompts.size() > 1) field = element(field, index);
    if (!prompt.text) {
      check_prompt(field, prompt.ids);
      return prompt.ids;
    }
    prepared_.prompt_text += *prompt.text;
    std::vector<Tokenizer::Range> literal;
    if (options_.literal_special_tokens && !prompt.text->empty()) literal.push_back({0, prompt.text->size()});
    Ids ids = text_.tokenizer().encode(*prompt.text, true, literal);
    check_prompt(field, ids);
    return ids;
  }

  void check_prompt(const std::string& field, const Ids& ids) const {
    if (ids.empty())
      throw FieldError("empty_prompt", field, quote(field) + " has no tokens, and this tokenizer adds none of its own");
    check_ids(field, ids);
    const bool answered = prepared_.parameters.max_tokens != 0;
    if (static_cast<int64_t>(ids.size()) + answered > options_.max_context)
      throw FieldError("context_length_exceeded", field,
                       quote(field) + " has " + std::to_string(ids.size()) + " tokens; the context holds " +
                           std::to_string(options_.max_context) + (answered ? ", one of them for the answer" : ""));
  }

  void check_ids(const std::string& field, const Ids& ids) const {
    for (size_t i = 0; i < ids.size(); ++i)
      if (ids[i] < 0 || ids[i] >= options_.vocab)
        throw FieldError("invalid_value", field,
                         quote(field) + " has token id " + std::to_string(ids[i]) + " at " + std::to_string(i) +
                             "; the vocabulary has " + std::to_string(options_.vocab) + " ids");
  }

  void add_choices(size_t prompt) {
    const Ids& ids = prepared_.prompts[prompt];
    SequenceInput input;
    input.prompt = ids;
    input.sampling = sampling(prompt);
    input.stop = stop_rule(ids.size());
    check_edits(input);
    const bool score_prompt = prepared_.parameters.echo && prepared_.parameters.logprobs;
    for (int32_t choice = 0; choice < prepared_.parameters.n.value_or(1); ++choice) {
      input.choice = choice;
      input.score_from = score_prompt && choice == 0 ? 1 : -1;  // the scores of one serve all
      input.stop_watcher = make_watcher();
      prepared_.sequences.push_back(input);
    }
  }

  void check_edits(const SequenceInput& input) const {
    const size_t banned = input.stop.min_tokens > 0 ? input.stop.stop_ids.size() : 0;
    const size_t edits = input.sampling.logit_bias.size() + banned;
    if (edits > static_cast<size_t>(kMaxLogitEdits))
      throw FieldError("invalid_value", input.sampling.logit_bias.empty() ? "min_tokens" : "logit_bias",
                       R"("logit_bias" and the stop ids that "min_tokens" bans may be )" +
                           std::to_string(kMaxLogitEdits) + " ids, not " + std::to_string(edits));
  }

  SamplingParams sampling(size_t prompt) const {
    const Parameters& p = prepared_.parameters;
    SamplingParams sampling;
    // top_p 0 leaves only the most probable token, as OpenAI has it.
    sampling.temperature = *p.top_p == 0 ? 0.0f : static_cast<float>(*p.temperature);
    sampling.top_p = *p.top_p == 0 ? 1.0f : static_cast<float>(*p.top_p);
    sampling.min_p = static_cast<float>(*p.min_p);
    sampling.top_k = *p.top_k;
    sampling.repetition_penalty = static_cast<float>(*p.repetition_penalty);
    sampling.frequency_penalty = static_cast<float>(p.frequency_penalty);
    sampling.presence_penalty = static_cast<float>(p.presence_penalty);
    for (const auto& [id, bias] : p.logit_bias) sampling.logit_bias.push_back({id, static_cast<float>(bias)});
    sampling.top_logprobs = p.logprobs.value_or(0);
    sampling.seed = p.seed ? *p.seed : make_seed(options_.seed, request_.id, prompt);
    return sampling;
  }

  StopRule stop_rule(size_t prompt_tokens) const {
    const Parameters& p = prepared_.parameters;
    StopRule stop;
    stop.stop_ids = p.stop_token_ids;
    if (!p.ignore_eos) stop.stop_ids.insert(stop.stop_ids.end(), options_.eos_ids.begin(), options_.eos_ids.end());
    std::sort(stop.stop_ids.begin(), stop.stop_ids.end());
    stop.stop_ids.erase(std::unique(stop.stop_ids.begin(), stop.stop_ids.end()), stop.stop_ids.end());
    int32_t room = options_.max_context - static_cast<int32_t>(prompt_tokens);
    stop.max_tokens = std::min(p.max_tokens.value_or(room), room);
    stop.min_tokens = p.min_tokens;
    return stop;
  }

  StopWatcher make_watcher() const {
    if (prepared_.parameters.stop.empty()) return {};
    auto text = std::make_shared<StopText>(text_.tokenizer(), prepared_.parameters.stop);
    return [text](int32_t id) { return text->push(id); };
  }

  void add_scored(const std::string& field, ScoredText&& scored) {
    check_ids(field, scored.ids);
    SequenceInput input;
    input.prompt = scored.ids;
    input.score_from = scored.score_from;
    input.stop.max_tokens = 0;
    prepared_.prompts.push_back(std::move(scored.ids));
    prepared_.sequences.push_back(std::move(input));
  }

  void add_continuations() {
    prepared_.prompt_text = request_.context;
    for (size_t i = 0; i < request_.continuations.size(); ++i) {
      std::string field = request_.continuation_is_list ? element("continuation", i) : "continuation";
      ScoredText scored = encode_pair(text_.tokenizer(), text_.prefix_token(), request_.context,
                                      request_.continuations[i], options_.max_context);
      if (scored.ids.empty()) refuse_without_prefix("context");
      if (scored.score_from >= static_cast<int32_t>(scored.ids.size()))
        throw FieldError("empty_continuation", field, quote(field) + " adds no tokens to its context");
      if (scored.score_from < 1)
        throw FieldError(
            "context_length_exceeded", field,
            quote(field) + " has more tokens than the context holds, " + std::to_string(options_.max_context));
      add_scored(field, std::move(scored));
    }
  }

  void add_windows() {
    prepared_.prompt_text = request_.text;
    Ids ids = encode_scored(text_.tokenizer(), text_.prefix_token(), request_.text);
    if (ids.empty()) return;
    if (!text_.prefix_token()) refuse_without_prefix("text");
    for (ScoredText& window : rolling_windows(ids, *text_.prefix_token(), options_.max_context))
      add_scored("text", std::move(window));
  }

  [[noreturn]] void refuse_without_prefix(const char* field) const {
    throw FieldError("no_prefix_token", field,
                     quote(field) + " has no token to condition on: the tokenizer names neither BOS nor EOS");
  }

  PreparedRequest& prepared_;
  const Request& request_;
  const TextModel& text_;
  const PrepareOptions& options_;
};

}  // namespace

std::variant<PreparedRequest, RecordError> prepare(Request request, const Parameters& resolved, const TextModel& text,
                                                   const PrepareOptions& options) {
  PreparedRequest prepared;
  prepared.request = std::move(request);
  prepared.parameters = resolved;
  try {
    Preparation(prepared, text, options).run();
    return prepared;
  } catch (const FieldError& e) {
    return make_record_error(prepared.request, e.code, e.param, e.what());
  } catch (const TemplateError& e) {
    return make_record_error(prepared.request, "template_error", "messages", std::string("chat template: ") + e.what());
  }
}

}  // namespace penstock
