// One request line, as far as its sequences. Input: the line.
#include "app/completion.h"
#include "app/prepare.h"
#include "app/request.h"
#include "engine/text/unicode.h"
#include "tests/fuzz/invariant.h"
#include "tests/support/tiny_text.h"

using namespace penstock;
using fuzz::require;

namespace {

constexpr ParseLimits kLimits{.vocab = 101, .max_line_bytes = 1 << 20};
constexpr int64_t kLine = 7;

void check_error(const RecordError& error) {
  require(error.message.starts_with("line 7: "), "the message names the line");
  require(error.message.size() < 4000 && text::is_utf8(error.message), "the message is short and UTF-8");
  require(!error.code.empty() && !error.id.empty() && error.line == kLine, "code, id and line are known");
  const std::string record = format_error(error, "req_0");
  require(record.find('\n') == record.npos, "a record is one line");
  const Json read = parse_json(record, 1000);
  require(read.at(error.batch_line ? "custom_id" : "id") == error.id, "a record says whose it is");
}

std::string canonical(const Request& request) { return canonical_request(request, resolve(request, {})); }

// The hash of a request must depend on what it says, not on how it is written.
void check_rewriting(std::string_view line, const Request& request) {
  const std::string rewritten = parse_ordered_json(line.starts_with("\xEF\xBB\xBF") ? line.substr(3) : line).dump();
  for (const std::string& other : {rewritten, " " + rewritten + "\r"}) {
    const auto again = parse_request(other, kLine, kLimits);
    require(std::holds_alternative<Request>(again), "a rewritten line is accepted, too");
    require(canonical(std::get<Request>(again)) == canonical(request), "and is the same request");
  }
  require(parse_json(canonical(request), 1000).is_object(), "the canonical request is JSON");
}

void check_prepared(const PreparedRequest& prepared, const PrepareOptions& options) {
  for (const SequenceInput& sequence : prepared.sequences) {
    require(!sequence.prompt.empty() && sequence.stop.max_tokens >= 0, "a sequence has something to run");
    const auto most = static_cast<int64_t>(sequence.prompt.size()) + sequence.stop.max_tokens;
    const bool last_is_not_fed = sequence.stop.max_tokens == 0;  // it is only scored
    require(most <= options.max_context + last_is_not_fed, "a sequence fits the context");
    require(sequence.score_from <= static_cast<int32_t>(sequence.prompt.size()), "scores are of tokens there are");
    for (int32_t id : sequence.prompt) require(id >= 0 && id < options.vocab, "ids are ids");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const TextModel text(tests::tiny_folder(true), "");
  const std::string_view line = fuzz::text_of(data, size);
  const auto parsed = parse_request(line, kLine, kLimits);
  if (const auto* error = std::get_if<RecordError>(&parsed)) return check_error(*error), 0;
  const Request& request = std::get<Request>(parsed);
  check_rewriting(line, request);

  PrepareOptions options{.max_context = 64, .vocab = kLimits.vocab, .seed = 0, .eos_ids = {1}};
  for (bool literal : {false, true}) {
    options.literal_special_tokens = literal;
    const auto result = prepare(request, resolve(request, {}), text, options);
    if (const auto* error = std::get_if<RecordError>(&result))
      check_error(*error);
    else
      check_prepared(std::get<PreparedRequest>(result), options);
  }
  return 0;
}
