// The pieces that parse_request is made of. All of them throw FieldError.
#pragma once
#include <optional>
#include <string>

#include "app/field_reader.h"

namespace penstock {

// The parameters of design.md §7 that chats, completions and bare lines share. Null values never reach it: null means
// absent. One reader a line.
class ParameterReader {
 public:
  ParameterReader(Request& request, const ParseLimits& limits, bool chat)
      : request_(request), limits_(limits), chat_(chat) {}

  // Errors: "unknown_parameter" for a name that no line has, or that this kind of line does not have.
  void read(const std::string& field, const OrderedJson& value);
  // What only all fields together can tell. Call once, last.
  void finish();

 private:
  struct Entry;
  static const Entry* find(const std::string& field);
  void read_logprobs(const std::string& field, const OrderedJson& value);
  void read_max_tokens(const std::string& field, const OrderedJson& value);

  Request& request_;
  const ParseLimits& limits_;
  bool chat_;
  bool chat_logprobs_ = false;  // chat: logprobs true
  std::optional<int32_t> top_logprobs_;
  std::optional<bool> generation_prompt_;
};

// An array of messages with their text parts joined by newlines into one string, which is what templates expect.
OrderedJson read_messages(const std::string& field, const OrderedJson& value);
OrderedJson read_tools(const std::string& field, const OrderedJson& value);

// `prompt` of /v1/completions: a text, a list of texts, a list of ids, or a list of such lists.
std::vector<Prompt> read_prompts(const std::string& field, const OrderedJson& value, const ParseLimits& limits);
std::vector<int32_t> read_token_ids(const std::string& field, const OrderedJson& value, const ParseLimits& limits);

// Fill `request` from a line of their kind. `is_request` of a batch line: false until its custom_id and body are known.
void read_batch_line(Request& request, const OrderedJson& line, const ParseLimits& limits, bool& is_request);
void read_bare_line(Request& request, const OrderedJson& line, const ParseLimits& limits);
void read_score_line(Request& request, const OrderedJson& line);
void read_rolling_line(Request& request, const OrderedJson& line);

}  // namespace penstock
