#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/text/regex.h"

#include <pcre2.h>

#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

constexpr uint32_t kMatchLimit = 20'000'000;   // backtracking steps of one search
constexpr uint32_t kHeapLimitKiB = 256 << 10;  // of the interpreter, used where JIT is not available
constexpr size_t kJitStackBytes = 8 << 20;

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// What one pass over a text needs: PCRE2 wants it separate from the code, which threads share.
struct MatchState {
  MatchState()
      : data(pcre2_match_data_create(1, nullptr)), context(pcre2_match_context_create(nullptr)), jit_stack(nullptr) {
    if (!data || !context) throw std::bad_alloc();
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_heap_limit(context, kHeapLimitKiB);
  }
  ~MatchState() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    if (jit_stack) pcre2_jit_stack_free(jit_stack);
  }
  MatchState(const MatchState&) = delete;

  // The 32 KiB that JIT code starts with suffice for all but deep groups.
  int search(const pcre2_code* code, std::string_view text, size_t from) {
    auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int found = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT && !jit_stack) {
      jit_stack = pcre2_jit_stack_create(64 << 10, kJitStackBytes, nullptr);
      if (!jit_stack) throw std::bad_alloc();
      pcre2_jit_stack_assign(context, nullptr, jit_stack);
      found = pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, data, context);
    }
    return found;
  }

  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* jit_stack;
};

}  // namespace

void Regex::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Regex::Regex(const Node& pattern) : place_(pattern.place()) {
  pattern.only({"String", "Regex"});
  bool literal = pattern.find("String").has_value();
  if (literal == pattern.find("Regex").has_value()) pattern.fail("must have one of \"String\" and \"Regex\"");
  std::string source =
      literal ? pattern.at("String").string() : oniguruma_to_pcre(pattern.at("Regex").string(), pattern);

  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
  int error = 0;
  size_t offset = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(), options, &error, &offset,
                            context.get()));
  if (!code_) pattern.fail("regex " + quote(source) + ": " + message_of(error) + " at byte " + std::to_string(offset));
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where it is not available, pcre2_match interprets
}

void Regex::for_each_span(std::string_view text, SpanSink sink) const {
  MatchState state;
  size_t from = 0, emitted = 0;
  bool any_match = false;
  size_t last_match_end = 0;
  while (from <= text.size()) {
    int found = state.search(code_.get(), text, from);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) throw Error(ExitCode::bad_model, place_ + " the regex gave up on this text: " + message_of(found));
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state.data);
    size_t begin = bounds[0], end = bounds[1];
    if (begin == end && any_match && last_match_end == end) {
      if (from == text.size()) break;
      from += first_character(text.data() + from).bytes;
      continue;
    }
    if (emitted < begin) sink(emitted, begin, false);
    sink(begin, end, true);
    emitted = from = last_match_end = end;
    any_match = true;
  }
  if (emitted < text.size()) sink(emitted, text.size(), false);
}

}  // namespace penstock::text
