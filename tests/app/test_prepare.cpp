#include "app/prepare.h"

#include <cstdlib>

#include "app/scoring.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_text.h"

using namespace penstock;
using namespace penstock::tests;

namespace {

using Ids = std::vector<int32_t>;

const TextModel& tiny() {
  static const TextModel model(tiny_folder(), "");
  return model;
}
const TextModel& tiny_with_bos() {
  static const TextModel model(tiny_folder(true), "");
  return model;
}

PrepareOptions options_of(int32_t max_context) {
  return {.max_context = max_context, .vocab = 101, .seed = 5, .eos_ids = {1}, .literal_special_tokens = false};
}
const PrepareOptions kOptions = options_of(64);

Request parsed(const std::string& line) {
  auto result = parse_request(line, 7, {.vocab = 101});
  if (auto* error = std::get_if<RecordError>(&result)) FAIL(error->message);
  return std::get<Request>(result);
}

std::variant<PreparedRequest, RecordError> try_prepare(const std::string& line, const TextModel& text = tiny(),
                                                       const PrepareOptions& options = kOptions) {
  Request request = parsed(line);
  Parameters resolved = resolve(request, {});
  return prepare(request, resolved, text, options);
}

PreparedRequest prepared(const std::string& line, const TextModel& text = tiny(),
                         const PrepareOptions& options = kOptions) {
  auto result = try_prepare(line, text, options);
  if (auto* error = std::get_if<RecordError>(&result)) FAIL(line << "\n" << error->message);
  return std::get<PreparedRequest>(std::move(result));
}

RecordError refused(const std::string& line, const TextModel& text = tiny(), const PrepareOptions& options = kOptions) {
  auto result = try_prepare(line, text, options);
  if (std::holds_alternative<PreparedRequest>(result)) FAIL("accepted: " << line);
  return std::get<RecordError>(result);
}

Ids with_bos(std::string_view text) {
  Ids ids = tiny_ids(text);
  ids.insert(ids.begin(), 0);
  return ids;
}

SequenceOutput output(FinishReason reason, const Ids& tokens) {
  SequenceOutput out;
  out.reason = reason;
  out.tokens = tokens;
  out.logprobs.assign(tokens.size(), -0.5f);
  return out;
}

Completion completed(const PreparedRequest& request, const std::vector<SequenceOutput>& outputs) {
  auto result = complete(request, outputs, tiny());
  if (auto* error = std::get_if<RecordError>(&result)) FAIL(error->message);
  return std::get<Completion>(result);
}

// The ids as the engine would generate them: until the watcher or a stop id says stop.
SequenceOutput generate(const SequenceInput& input, const Ids& tokens) {
  Ids made;
  for (int32_t id : tokens) {
    made.push_back(id);
    bool stopped = input.stop_watcher && input.stop_watcher(id);
    const Ids& stop_ids = input.stop.stop_ids;
    if (stopped || std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end())
      return output(FinishReason::stop, made);
  }
  return output(FinishReason::length, made);
}

}  // namespace

TEST_CASE("prompts get the post-processor's tokens, ids and chats none") {
  CHECK(prepared(R"({"prompt":"hi"})").prompts == std::vector<Ids>{tiny_ids("hi")});
  CHECK(prepared(R"({"prompt":"hi"})", tiny_with_bos()).prompts == std::vector<Ids>{with_bos("hi")});
  CHECK(prepared(R"({"prompt_token_ids":[7,8]})", tiny_with_bos()).prompts == std::vector<Ids>{{7, 8}});
  PreparedRequest chat = prepared(R"({"messages":[{"role":"u","content":"x"}]})", tiny_with_bos());
  CHECK(chat.prompt_text == "<s>u:x;assistant:");
  CHECK(chat.prompts == std::vector<Ids>{with_bos("u:x;assistant:")});  // the template's BOS, once
}

TEST_CASE("special tokens in a user's text are literal where that is asked for") {
  PrepareOptions literal = kOptions;
  literal.literal_special_tokens = true;
  CHECK(prepared(R"({"prompt":"</s>"})").prompts[0] == Ids{1});
  CHECK(prepared(R"({"prompt":"</s>"})", tiny(), literal).prompts[0] == tiny_ids("</s>"));
  Ids chat = with_bos("u:");
  Ids user = tiny_ids("</s>;assistant:");
  chat.insert(chat.end(), user.begin(), user.end());
  CHECK(prepared(R"({"messages":[{"role":"u","content":"</s>"}]})", tiny(), literal).prompts[0] == chat);
}

TEST_CASE("the context decides how long an answer may be") {
  auto max_tokens = [](const std::string& line) { return prepared(line).sequences.at(0).stop.max_tokens; };
  CHECK(max_tokens(R"({"prompt":"hi"})") == 16);
  CHECK(max_tokens(R"({"prompt":"hi","max_tokens":5})") == 5);
  CHECK(max_tokens(R"({"prompt":"hi","max_tokens":62})") == 62);
  CHECK(max_tokens(R"({"prompt":"hi","max_tokens":63})") == 62);
  CHECK(max_tokens(R"({"prompt":"hi","max_tokens":2147483647})") == 62);
  CHECK(max_tokens(R"({"messages":[{"role":"u","content":"x"}]})") == 64 - 15);
  CHECK(max_tokens(R"({"messages":[{"role":"u","content":"x"}],"max_tokens":3})") == 3);
  CHECK(max_tokens(R"({"prompt":")" + std::string(63, 'x') + "\"}") == 1);
  RecordError error = refused(R"({"id":"p","prompt":")" + std::string(64, 'x') + "\"}");
  CHECK(error.code == "context_length_exceeded");
  CHECK(error.param == "prompt");
  CHECK(error.id == "p");
  CHECK(error.line == 7);
  CHECK_THAT(error.message, ContainsSubstring("line 7: ") && ContainsSubstring("has 64 tokens; the context holds 64"));
}

TEST_CASE("a prompt without tokens is refused unless the tokenizer adds some") {
  CHECK(refused(R"({"prompt":""})").code == "empty_prompt");
  CHECK(prepared(R"({"prompt":""})", tiny_with_bos()).prompts[0] == Ids{0});
  RecordError second =
      refused(R"({"custom_id":"c","method":"POST","url":"/v1/completions","body":{"prompt":["a",""]}})");
  CHECK(second.param == "prompt[1]");
  CHECK(second.batch_line);
}

TEST_CASE("ids outside the model's vocabulary are refused") {
  PrepareOptions small = kOptions;
  small.vocab = 50;
  RecordError error = refused(R"({"prompt":"!~"})", tiny(), small);
  CHECK(error.code == "invalid_value");
  CHECK_THAT(error.message, ContainsSubstring("token id 95 at 1"));
  CHECK(refused(R"({"context":"!","continuation":"~"})", tiny(), small).code == "invalid_value");
}

TEST_CASE("a refused chat names the template") {
  TextModel refusing(tiny_folder(), "{{ raise_exception('roles must alternate') }}");
  RecordError error = refused(R"({"messages":[{"role":"u","content":"x"}]})", refusing);
  CHECK(error.code == "template_error");
  CHECK_THAT(error.message, ContainsSubstring("roles must alternate"));
}

TEST_CASE("sampling parameters reach the sequences") {
  SequenceInput input = prepared(R"({"prompt":"a","temperature":0.5,"top_p":0.75,"min_p":0.25,"top_k":3,"seed":9,
      "stop_token_ids":[9,4],"min_tokens":2})")
                            .sequences.at(0);
  CHECK(input.sampling.temperature == 0.5f);
  CHECK(input.sampling.top_p == 0.75f);
  CHECK(input.sampling.min_p == 0.25f);
  CHECK(input.sampling.top_k == 3);
  CHECK(input.sampling.seed == 9);
  CHECK(input.stop.stop_ids == Ids{1, 4, 9});
  CHECK(input.stop.min_tokens == 2);
  CHECK(input.score_from == -1);
  CHECK_FALSE(input.stop_watcher);
  CHECK(prepared(R"({"prompt":"a","ignore_eos":true})").sequences[0].stop.stop_ids.empty());
  CHECK(prepared(R"({"prompt":"a","ignore_eos":true,"stop_token_ids":[1]})").sequences[0].stop.stop_ids == Ids{1});
  SamplingParams greedy = prepared(R"({"prompt":"a","temperature":1,"top_p":0})").sequences[0].sampling;  // J30
  CHECK(greedy.temperature == 0);
  CHECK(greedy.top_p == 1);
}

TEST_CASE("penalties, biases and alternatives reach the sequences") {
  SamplingParams sampling = prepared(R"({"prompt":"a","presence_penalty":0.5,"frequency_penalty":-0.25,
      "repetition_penalty":1.25,"logit_bias":{"7":-100,"3":1.5},"logprobs":4})")
                                .sequences.at(0)
                                .sampling;
  CHECK(sampling.presence_penalty == 0.5f);
  CHECK(sampling.frequency_penalty == -0.25f);
  CHECK(sampling.repetition_penalty == 1.25f);
  REQUIRE(sampling.logit_bias.size() == 2);
  CHECK(sampling.logit_bias[0].id == 3);
  CHECK(sampling.logit_bias[0].bias == 1.5f);
  CHECK(sampling.logit_bias[0].until == INT32_MAX);
  CHECK(sampling.logit_bias[1].id == 7);
  CHECK(sampling.top_logprobs == 4);
  SamplingParams chat = prepared(R"({"messages":[{"role":"u","content":"x"}],"logprobs":true,"top_logprobs":2})")
                            .sequences.at(0)
                            .sampling;
  CHECK(chat.top_logprobs == 2);
  CHECK(chat.repetition_penalty == 1);

  Request request = parsed(R"({"prompt":"a"})");
  RequestDefaults defaults;
  defaults.generation.repetition_penalty = 1.0625;
  auto result = prepare(request, resolve(request, defaults), tiny(), kOptions);
  CHECK(std::get<PreparedRequest>(result).sequences.at(0).sampling.repetition_penalty == 1.0625f);
}

TEST_CASE("more biases and bans than a slot holds are refused") {
  PrepareOptions wide = kOptions;
  wide.vocab = 5000;
  auto attempt = [&](int biases, const std::string& rest) {
    std::string line = R"({"prompt":"a","logit_bias":{)";
    for (int i = 0; i < biases; ++i) line += (i ? ",\"" : "\"") + std::to_string(i) + "\":1";
    Request request = std::get<Request>(parse_request(line + "}" + rest + "}", 7, {.vocab = 5000}));
    return prepare(request, resolve(request, {}), tiny(), wide);
  };
  CHECK(std::holds_alternative<PreparedRequest>(attempt(kMaxLogitEdits, "")));
  auto refused = attempt(kMaxLogitEdits, R"(,"min_tokens":1)");  // EOS is one more
  REQUIRE(std::holds_alternative<RecordError>(refused));
  CHECK(std::get<RecordError>(refused).param == "logit_bias");
  CHECK_THAT(std::get<RecordError>(refused).message, ContainsSubstring("may be 1024 ids, not 1025"));
  CHECK(std::holds_alternative<RecordError>(attempt(kMaxLogitEdits + 1, "")));
}

TEST_CASE("an echoed prompt stands before the answer, and is scored once") {
  PreparedRequest request =
      prepared(R"({"prompt":"hé","echo":true,"logprobs":1,"n":2,"max_tokens":2})", tiny_with_bos());
  REQUIRE(request.sequences.size() == 2);
  CHECK(request.sequences[0].score_from == 1);
  CHECK(request.sequences[0].stop.max_tokens == 2);
  CHECK(request.sequences[1].score_from == -1);

  SequenceOutput first = output(FinishReason::length, tiny_ids("ok")), second = output(FinishReason::stop, {1});
  first.top_logprobs = {{{tiny_id('o'), -0.5f}}, {{98, -0.25f}}};
  second.top_logprobs = {{{1, -0.5f}}};
  first.scores = {{-1, true}, {-2, false}, {-3, false}};
  first.score_top_logprobs = {{{tiny_id('h'), -1.0f}}, {{99, -0.125f}}, {{99, -3.0f}}};
  Completion completion = completed(request, {first, second});
  const Choice& choice = completion.choices.at(0);
  CHECK(choice.text == "héok");
  CHECK(choice.token_ids == tiny_ids("ok"));
  REQUIRE(choice.logprobs.size() == 6);  // BOS, h, two halves of é, o, k
  std::vector<int64_t> offsets;
  for (const TokenLogprob& token : choice.logprobs) offsets.push_back(token.offset);
  CHECK(offsets == std::vector<int64_t>{0, 0, 1, 1, 2, 3});
  CHECK(choice.logprobs[0].token.text == "<s>");
  CHECK_FALSE(choice.logprobs[0].logprob);
  CHECK(choice.logprobs[0].top.empty());
  CHECK(choice.logprobs[2].logprob == -2.0f);
  CHECK(choice.logprobs[2].token.text == "\xEF\xBF\xBD");
  CHECK(choice.logprobs[2].token.bytes == "\xC3");
  CHECK(choice.logprobs[2].top.at(0).token.bytes == "\xA9");
  CHECK(choice.logprobs[5].top.at(0).token.bytes == "\xC3");
  CHECK(completion.choices.at(1).text == "hé");
  CHECK(completion.choices[1].logprobs.size() == 5);
  CHECK(completion.choices[1].logprobs[3].logprob == -3.0f);
  CHECK(completion.choices[1].logprobs[4].logprob == -0.5f);
  CHECK(completion.prompt_tokens == 4);

  PreparedRequest ids = prepared(R"({"prompt_token_ids":[0,7,8],"echo":true})");
  CHECK(ids.sequences.at(0).score_from == -1);
  CHECK(completed(ids, {output(FinishReason::length, tiny_ids("ok"))}).choices[0].text == "&'ok");
}

TEST_CASE("a prompt may be echoed without an answer, and may then fill the context") {
  PreparedRequest request = prepared(R"({"prompt":"hi","echo":true,"logprobs":0,"max_tokens":0})");
  CHECK(request.sequences.at(0).stop.max_tokens == 0);
  CHECK(request.sequences[0].score_from == 1);
  SequenceOutput scored;
  scored.reason = FinishReason::scored;
  scored.scores = {{-1.5f, true}};
  Completion completion = completed(request, {scored});
  CHECK(completion.choices.at(0).text == "hi");
  CHECK(completion.choices[0].finish_reason == "length");
  CHECK(completion.choices[0].token_ids.empty());
  REQUIRE(completion.choices[0].logprobs.size() == 2);
  CHECK(completion.choices[0].logprobs[1].logprob == -1.5f);
  prepared(R"({"prompt":")" + std::string(64, 'x') + R"(","echo":true,"max_tokens":0})");
  CHECK(refused(R"({"prompt":")" + std::string(65, 'x') + R"(","echo":true,"max_tokens":0})").code ==
        "context_length_exceeded");
}

TEST_CASE("seeds follow from the run's seed and the id, apart for each prompt, and choices count within a prompt") {
  auto seeds = [](const std::string& line, uint64_t run_seed = 5) {
    PrepareOptions options = kOptions;
    options.seed = run_seed;
    std::vector<std::pair<uint64_t, int32_t>> seen;
    for (const SequenceInput& input : prepared(line, tiny(), options).sequences)
      seen.emplace_back(input.sampling.seed, input.choice);
    return seen;
  };
  std::string one = R"({"id":"a","prompt":"x","n":2})";
  auto seen = seeds(one);
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].first == seen[1].first);
  CHECK(seen[0].second == 0);
  CHECK(seen[1].second == 1);
  CHECK(seeds(one) == seen);
  CHECK(seeds(one, 6) != seen);
  CHECK(seeds(R"({"id":"b","prompt":"x","n":2})") != seen);

  auto batch = [](const std::string& rest) {
    return R"({"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":["x","x"],"n":2)" + rest + "}}";
  };
  auto many = seeds(batch(""));
  REQUIRE(many.size() == 4);
  CHECK(many[0].first == seen[0].first);
  CHECK(many[2].first == many[3].first);
  CHECK(many[2].first != many[0].first);
  CHECK(many[2].second == 0);
  auto given = seeds(batch(R"(,"seed":3)"));
  CHECK(given == std::vector<std::pair<uint64_t, int32_t>>{{3, 0}, {3, 1}, {3, 0}, {3, 1}});
}

TEST_CASE("an answer excludes the token that ended it, and counts it") {
  PreparedRequest request = prepared(R"({"prompt":"hi"})");
  Completion stop = completed(request, {output(FinishReason::stop, {tiny_id('o'), tiny_id('k'), 1})});
  CHECK(stop.choices.at(0).text == "ok");
  CHECK(stop.choices[0].token_ids == Ids{tiny_id('o'), tiny_id('k'), 1});
  CHECK(stop.choices[0].finish_reason == "stop");
  CHECK(stop.prompt_tokens == 2);
  CHECK(stop.choices[0].logprobs.empty());

  CHECK(completed(request, {output(FinishReason::length, tiny_ids("ok"))}).choices[0].text == "ok");
  CHECK(completed(request, {output(FinishReason::length, tiny_ids("ok"))}).choices[0].finish_reason == "length");
  // A stop token that is not special has a text, which does not count either.
  PreparedRequest with_k = prepared(R"({"prompt":"hi","stop_token_ids":[)" + std::to_string(tiny_id('k')) + "]}");
  CHECK(completed(with_k, {generate(with_k.sequences[0], tiny_ids("ok"))}).choices[0].text == "o");
  // Special tokens in the midst of an answer are no text.
  PreparedRequest on = prepared(R"({"prompt":"hi","ignore_eos":true})");
  CHECK(completed(on, {generate(on.sequences[0], {tiny_id('o'), 1, tiny_id('k')})}).choices[0].text == "ok");
}

TEST_CASE("an answer ends before its first stop string, wherever tokens begin") {
  auto answer = [](const std::string& stop, const Ids& tokens) {
    PreparedRequest request = prepared(R"({"prompt":"hi","stop":)" + stop + "}");
    Completion completion = completed(request, {generate(request.sequences[0], tokens)});
    const Choice& choice = completion.choices[0];
    return choice.text + "|" + choice.finish_reason + "|" + std::to_string(choice.token_ids.size());
  };
  CHECK(answer(R"("END")", tiny_ids("oneENDtwo")) == "one|stop|6");
  CHECK(answer(R"(["zz","e","EN"])", tiny_ids("oneENDtwo")) == "on|stop|3");
  CHECK(answer(R"("xyz")", tiny_ids("oneENDxy")) == "oneENDxy|length|8");
  CHECK(answer(R"("é")", {tiny_id('a'), 98, 99, tiny_id('b')}) == "a|stop|3");  // J35
  CHECK(answer(R"("x")", {tiny_id('a'), 98}) == "a\xEF\xBF\xBD|length|2");      // an unfinished character
  CHECK(answer(R"("b")", {tiny_id('x'), 100, tiny_id('x')}) == "xa|stop|2");    // inside a token
  CHECK(answer(R"("xyz")", {tiny_id('o'), tiny_id('x'), 1}) == "ox|stop|3");    // EOS, the stop string begun
}

TEST_CASE("choices keep their order, and each has its own watcher") {
  PreparedRequest request = prepared(R"({"prompt":"hi","n":2,"stop":"b"})");
  REQUIRE(request.sequences.size() == 2);
  CHECK_FALSE(request.sequences[0].stop_watcher(tiny_id('a')));
  CHECK_FALSE(request.sequences[1].stop_watcher(tiny_id('c')));
  CHECK(request.sequences[0].stop_watcher(tiny_id('b')));
  CHECK_FALSE(request.sequences[1].stop_watcher(tiny_id('d')));
  Completion completion =
      completed(request, {output(FinishReason::stop, tiny_ids("acb")), output(FinishReason::length, tiny_ids("cd"))});
  CHECK(completion.choices[0].text == "ac");
  CHECK(completion.choices[1].text == "cd");
  CHECK(completion.choices[1].index == 1);
  CHECK(completion.prompt_tokens == 2);  // once a prompt
}

TEST_CASE("log-probabilities come with each token's text") {
  PreparedRequest request = prepared(R"({"prompt":"hi","logprobs":0})");
  Choice choice = completed(request, {output(FinishReason::stop, {tiny_id(' '), 98, 99, 1})}).choices.at(0);
  std::vector<std::string> texts, bytes;
  for (const TokenLogprob& token : choice.logprobs) {
    CHECK(token.logprob == -0.5f);
    CHECK(token.top.empty());
    texts.push_back(token.token.text);
    bytes.push_back(token.token.bytes);
  }
  CHECK(texts == std::vector<std::string>{" ", "\xEF\xBF\xBD", "\xEF\xBF\xBD", "</s>"});
  CHECK(bytes == std::vector<std::string>{" ", "\xC3", "\xA9", "</s>"});
  CHECK(choice.logprobs[2].offset == 1);  // é becomes certain with its second half
  CHECK(choice.logprobs[3].offset == 2);
}

TEST_CASE("times are the request's over its sequences") {
  PreparedRequest request = prepared(R"({"prompt":"hi","n":2})");
  SequenceOutput a = output(FinishReason::length, {5}), b = a;
  a.queue_seconds = 1, a.first_token_seconds = 2, a.total_seconds = 3, a.cached_tokens = 1;
  b.queue_seconds = 0.5, b.first_token_seconds = 4, b.total_seconds = 5, b.cached_tokens = 2;
  Completion completion = completed(request, {a, b});
  CHECK(completion.queue_seconds == 0.5);
  CHECK(completion.first_token_seconds == 2);
  CHECK(completion.total_seconds == 5);
  CHECK(completion.cached_tokens == 3);
}

TEST_CASE("a failed sequence makes the request's error record") {
  PreparedRequest request = prepared(R"({"id":"x","prompt":"hi","n":2})");
  SequenceOutput failed;
  failed.reason = FinishReason::error;
  failed.error = "the logits are not finite";
  failed.fault = SequenceFault::non_finite_logits;
  auto result = complete(request, {output(FinishReason::length, {5}), failed}, tiny());
  REQUIRE(std::holds_alternative<RecordError>(result));
  RecordError error = std::get<RecordError>(result);
  CHECK(error.code == "non_finite_logits");
  CHECK(error.status == 500);
  CHECK(error.id == "x");
  failed.error = "needs 9 blocks; the pool has 8";
  failed.fault = SequenceFault::never_fits;
  error = std::get<RecordError>(complete(request, {failed, failed}, tiny()));
  CHECK(error.status == 400);
  CHECK(error.code == "context_length_exceeded");
  CHECK_THAT(error.message, ContainsSubstring("line 7: needs 9 blocks"));
  failed.fault = SequenceFault::all_ids_banned;
  error = std::get<RecordError>(complete(request, {failed, failed}, tiny()));
  CHECK(error.code == "all_ids_banned");
  CHECK(error.status == 400);
  failed.fault = SequenceFault::none;
  CHECK_THROWS(complete(request, {failed, failed}, tiny()));
}

TEST_CASE("continuations are encoded as lm-evaluation-harness encodes pairs") {
  auto pair = [](const std::string& context, const std::string& continuation, int32_t max_context = 64) {
    ScoredText scored = encode_pair(tiny().tokenizer(), 0, context, continuation, max_context);
    return std::pair(scored.ids, scored.score_from);
  };
  CHECK(pair("q", " x") == std::pair(tiny_ids("q x"), 1));
  CHECK(pair("q \n", "x") == std::pair(tiny_ids("q \nx"), 1));  // white space moves over
  CHECK(pair("", "xy") == std::pair(with_bos("xy"), 1));
  CHECK(pair("  ", "x") == std::pair(with_bos("  x"), 1));          // nothing is left of the context
  CHECK(pair("", "<s>xy") == std::pair(with_bos("xy"), 1));         // the prefix is there already
  CHECK(pair("qa", "bx") == std::pair(tiny_ids("qax"), 2));         // "ab" is one token: the context keeps its own ids
  CHECK(pair("qrst", "xy", 4) == std::pair(tiny_ids("rstxy"), 3));  // 5 ids, of which 4 are fed
  CHECK(pair("qrst", "wxyz", 4) == std::pair(tiny_ids("twxyz"), 1));
  CHECK(pair("qrst", "vwxyz", 4).second < 1);
  CHECK(encode_pair(tiny().tokenizer(), {}, "", "x", 64).ids.empty());

  // A tokenizer that adds BOS adds it to both, but neither to a text that begins with it nor to a lone continuation.
  auto with = [](const std::string& context, const std::string& continuation) {
    ScoredText scored = encode_pair(tiny_with_bos().tokenizer(), 0, context, continuation, 64);
    return std::pair(scored.ids, scored.score_from);
  };
  CHECK(with("q", " x") == std::pair(with_bos("q x"), 2));
  CHECK(with("<s>q", " x") == std::pair(with_bos("q x"), 2));
  CHECK(with("  ", "x") == std::pair(with_bos("  x"), 1));
  CHECK(with("", "xy") == std::pair(with_bos("xy"), 1));
  CHECK(with("", "<s>xy") == std::pair(with_bos("xy"), 1));
}

TEST_CASE("scoring lines become one sequence a continuation") {
  PreparedRequest request = prepared(R"({"context":"q","continuation":[" x"," yz"]})", tiny_with_bos());
  REQUIRE(request.sequences.size() == 2);
  CHECK(request.sequences[1].prompt == with_bos("q yz"));
  CHECK(request.sequences[1].score_from == 2);
  CHECK(request.sequences[1].stop.max_tokens == 0);
  SequenceOutput first, second;
  first.reason = second.reason = FinishReason::scored;
  first.scores = {{-1, true}, {-0.5, true}};
  second.scores = {{-1, true}, {-2, false}, {-3, true}};
  Completion completion = completed(request, {first, second});
  REQUIRE(completion.scores.size() == 2);
  CHECK(completion.scores[0].sum_logprob == -1.5);
  CHECK(completion.scores[0].is_greedy);
  CHECK(completion.scores[1].sum_logprob == -6);
  CHECK_FALSE(completion.scores[1].is_greedy);
  CHECK(completion.scores[1].num_tokens == 3);
  CHECK(completion.prompt_tokens == 9);
  CHECK(completion.choices.empty());

  CHECK(refused(R"({"context":"a","continuation":"b"})").code == "empty_continuation");  // merges into the context
  CHECK(refused(R"({"context":"","continuation":"<s>"})").code == "empty_continuation");
  RecordError longer = refused(R"({"context":"a","continuation":["x",")" + std::string(65, 'x') + "\"]}");
  CHECK(longer.code == "context_length_exceeded");
  CHECK(longer.param == "continuation[1]");
  prepared(R"({"context":"a","continuation":")" + std::string(64, 'x') + "\"}");
}

TEST_CASE("without BOS and EOS an empty context has nothing to condition on") {
  ModelFolder folder = tiny_folder();
  folder.tokenizer_config.clear();
  TextModel bare(folder, "");
  CHECK(refused(R"({"context":"","continuation":"x"})", bare).code == "no_prefix_token");
  CHECK(refused(R"({"text":"x","rolling":true})", bare).code == "no_prefix_token");
  prepared(R"({"context":"q","continuation":"x"})", bare);
}

TEST_CASE("rolling windows score each id once, as lm-evaluation-harness cuts them") {
  auto show = [](int count, int32_t max_context) {
    Ids ids;
    for (int i = 0; i < count; ++i) ids.push_back(10 + i);
    std::string shown;
    for (const ScoredText& window : rolling_windows(ids, 0, max_context)) {
      for (size_t i = 0; i < window.ids.size(); ++i)
        shown += (static_cast<int32_t>(i) == window.score_from ? "|" : i ? " " : "") + std::to_string(window.ids[i]);
      shown += ";";
    }
    return shown;
  };
  CHECK(show(0, 4) == "");
  CHECK(show(1, 4) == "0|10;");
  CHECK(show(4, 4) == "0|10 11 12 13;");
  CHECK(show(5, 4) == "0|10 11 12 13;10 11 12 13|14;");
  // The example in lm_eval's documentation of loglikelihood_rolling.
  CHECK(show(10, 4) == "0|10 11 12 13;13|14 15 16 17;15 16 17|18 19;");
  CHECK(show(3, 1) == "0|10;10|11;11|12;");
}

TEST_CASE("a rolling text is summed over its windows") {
  PreparedRequest request = prepared(R"({"text":"abcdex","rolling":true})", tiny(), options_of(4));
  REQUIRE(request.sequences.size() == 2);  // "ab" is one token
  CHECK(request.sequences[1].prompt.size() == 5);
  SequenceOutput first, second;
  first.reason = second.reason = FinishReason::scored;
  first.scores.assign(4, {-1, true});
  second.scores.assign(1, {-0.25, false});
  Completion completion = completed(request, {first, second});
  REQUIRE(completion.scores.size() == 1);
  CHECK(completion.scores[0].sum_logprob == -4.25);
  CHECK(completion.scores[0].num_tokens == 5);
  CHECK_FALSE(completion.scores[0].is_greedy);

  // lm-evaluation-harness puts the prefix token before what the tokenizer made, its own BOS included.
  PreparedRequest twice = prepared(R"({"text":"x","rolling":true})", tiny_with_bos(), options_of(4));
  CHECK(twice.sequences.at(0).prompt == Ids{0, 0, tiny_id('x')});
  CHECK(twice.sequences[0].score_from == 1);
  CHECK(prepared(R"({"text":"<s>x","rolling":true})", tiny_with_bos()).sequences.at(0).prompt ==
        Ids{0, 0, tiny_id('x')});

  CHECK(prepared(R"({"text":"","rolling":true})", tiny_with_bos()).sequences.at(0).prompt == Ids{0, 0});
  PreparedRequest empty = prepared(R"({"text":"","rolling":true})");
  CHECK(empty.sequences.empty());
  CHECK(completed(empty, {}).scores.at(0).num_tokens == 0);
  CHECK(completed(empty, {}).scores.at(0).sum_logprob == 0);
}

// Expected values: transformers 5 and lm_eval's rules over its tokenizer; made with AutoTokenizer.
TEST_CASE("SmolLM2's folder prepares as transformers does", "[smollm2]") {
  const char* path = std::getenv("PENSTOCK_SMOLLM2");
  REQUIRE(path);
  TextModel text(read_model_folder(path), "");
  PrepareOptions options{
      .max_context = 8192, .vocab = 49152, .seed = 0, .eos_ids = {2}, .literal_special_tokens = false};
  auto run = [&](const std::string& line) {
    auto request = parse_request(line, 1, {.vocab = 49152});
    REQUIRE(std::holds_alternative<Request>(request));
    Request r = std::get<Request>(request);
    auto result = prepare(r, resolve(r, {}), text, options);
    REQUIRE(std::holds_alternative<PreparedRequest>(result));
    return std::get<PreparedRequest>(result);
  };
  CHECK(text.prefix_token() == 1);
  PreparedRequest chat = run(R"({"messages":[{"role":"user","content":"Hello, world!"}]})");
  CHECK(chat.prompt_text ==
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHello, world!<|im_end|>\n<|im_start|>assistant\n");
  CHECK(chat.prompts.at(0) == Ids{1,     9690, 198,  2683, 359, 253,   5356, 5646, 11173, 3365, 3511, 308,
                                  34519, 28,   7018, 411,  407, 19712, 8182, 2,    198,   1,    4093, 198,
                                  19556, 28,   905,  17,   2,   198,   1,    520,  9531,  198});
  CHECK(run(R"({"prompt":"The capital of France is"})").prompts.at(0) == Ids{504, 3575, 282, 4649, 314});
  PreparedRequest score = run(R"({"context":"Q: 2+2? A: ","continuation":"4"})");
  CHECK(score.prompts.at(0) == Ids{65, 42, 216, 34, 27, 34, 47, 330, 42, 216, 36});
  CHECK(score.sequences.at(0).score_from == 9);
}
