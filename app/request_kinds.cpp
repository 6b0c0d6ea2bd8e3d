// From a line's object to a Request, for each kind of line.
#include <algorithm>
#include <initializer_list>

#include "app/request_fields.h"

namespace penstock {
namespace {

constexpr size_t kMostIdBytes = 512;
constexpr int64_t kMostSequences = 2048;  // prompts x n: each is a sequence with its own copy of the prompt
constexpr size_t kMostContinuations = 65536;

// Null means absent.
const OrderedJson* member(const OrderedJson& object, const char* name) {
  auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const OrderedJson& required(const OrderedJson& object, const char* name) {
  const OrderedJson* value = member(object, name);
  if (!value) throw FieldError("missing_field", name, quote(name) + " is missing");
  return *value;
}

bool is_line_name(const std::string& id) {
  return id.size() > 5 && id.starts_with("line-") && id.find_first_not_of("0123456789", 5) == id.npos;
}

std::string read_id(const char* field, const OrderedJson& value) {
  const std::string& id = read_string(field, value);
  if (id.empty() || id.size() > kMostIdBytes)
    throw FieldError("invalid_value", field,
                     quote(field) + " must have from 1 to " + std::to_string(kMostIdBytes) + " bytes, not " +
                         std::to_string(id.size()));
  // Records of lines without a usable id go by that name; an id must not be taken for one of them.
  if (is_line_name(id)) throw_value(field, R"(no id of the form "line-N", which stands for lines without one)", value);
  return id;
}

void read_optional_id(Request& request, const OrderedJson& line) {
  if (const OrderedJson* id = member(line, "id")) request.id = read_id("id", *id);
}

// `own`: the fields that the caller reads; the rest are parameters.
void read_parameters(Request& request, const OrderedJson& object, const ParseLimits& limits,
                     std::initializer_list<std::string_view> own) {
  ParameterReader reader(request, limits, request.is_chat());
  for (const auto& [name, value] : object.items())
    if (!value.is_null() && std::find(own.begin(), own.end(), name) == own.end()) reader.read(name, value);
  reader.finish();
  auto sequences = static_cast<int64_t>(request.prompts.size()) * request.parameters.n.value_or(1);
  if (sequences > kMostSequences)
    throw FieldError(
        "invalid_value", "n",
        R"(the prompts times "n" may be )" + std::to_string(kMostSequences) + ", not " + std::to_string(sequences));
}

// For scoring lines, which have no parameters.
void refuse_other_fields(const OrderedJson& line, std::initializer_list<std::string_view> known, const char* kind) {
  for (const auto& [name, value] : line.items()) {
    bool echoed = name == "id" || name == "model" || name == "user" || name == "metadata";
    if (value.is_null() || echoed || std::find(known.begin(), known.end(), name) != known.end()) continue;
    throw FieldError("unknown_parameter", name, quote(name) + " is not a field of " + kind);
  }
}

void read_model(Request& request, const OrderedJson& line) {
  if (const OrderedJson* model = member(line, "model")) request.model = read_string("model", *model);
}

}  // namespace

void read_batch_line(Request& request, const OrderedJson& line, const ParseLimits& limits, bool& is_request) {
  request.id = read_id("custom_id", required(line, "custom_id"));
  const OrderedJson& body = read_object("body", required(line, "body"));
  is_request = true;
  for (const auto& [name, value] : line.items())
    if (name != "custom_id" && name != "method" && name != "url" && name != "body" && !value.is_null())
      throw FieldError("unknown_parameter", name, quote(name) + " is not a field of a batch line");
  const OrderedJson& method = required(line, "method");
  if (read_string("method", method) != "POST") throw_value("method", R"("POST")", method);

  const OrderedJson& url = required(line, "url");
  if (read_string("url", url) == "/v1/chat/completions") {
    request.kind = RequestKind::batch_chat;
    request.messages = read_messages("messages", required(body, "messages"));
    read_parameters(request, body, limits, {"messages"});
  } else if (url == "/v1/completions") {
    request.kind = RequestKind::batch_completion;
    request.prompts = read_prompts("prompt", required(body, "prompt"), limits);
    read_parameters(request, body, limits, {"prompt"});
  } else {
    throw FieldError("unsupported_url", "url",
                     R"("url" must be "/v1/chat/completions" or "/v1/completions", not )" + shown(url));
  }
}

void read_bare_line(Request& request, const OrderedJson& line, const ParseLimits& limits) {
  request.kind = RequestKind::bare;
  read_optional_id(request, line);
  const OrderedJson* prompt = member(line, "prompt");
  const OrderedJson* ids = member(line, "prompt_token_ids");
  const OrderedJson* messages = member(line, "messages");
  int given = (prompt != nullptr) + (ids != nullptr) + (messages != nullptr);
  const char* choice = R"("prompt", "prompt_token_ids" and "messages")";
  if (given == 0) {
    // A line with nothing to ask is most often a misspelt one: the unknown field says more than the missing one.
    read_parameters(request, line, limits, {"id", "tools", "chat_template_kwargs"});
    throw FieldError("missing_field", "prompt", std::string("one of ") + choice + " is needed");
  }
  if (given > 1)
    throw FieldError("conflicting_fields", messages ? "messages" : "prompt_token_ids",
                     std::string("only one of ") + choice + " may be given");
  if (prompt) request.prompts = {Prompt{read_string("prompt", *prompt), {}}};
  if (ids) request.prompts = {Prompt{{}, read_token_ids("prompt_token_ids", *ids, limits)}};
  if (messages) request.messages = read_messages("messages", *messages);
  read_parameters(request, line, limits, {"id", "prompt", "prompt_token_ids", "messages"});
}

void read_score_line(Request& request, const OrderedJson& line) {
  request.kind = RequestKind::score;
  read_optional_id(request, line);
  refuse_other_fields(line, {"context", "continuation"}, "a scoring line");
  read_model(request, line);
  request.context = read_string("context", required(line, "context"));

  const OrderedJson& continuation = required(line, "continuation");
  auto add = [&](const std::string& field, const OrderedJson& text) {
    if (read_string(field, text).empty()) throw_value(field, "a non-empty string", text);
    request.continuations.push_back(text.get<std::string>());
  };
  if (continuation.is_string()) return add("continuation", continuation);
  request.continuation_is_list = true;
  if (!continuation.is_array()) throw_type("continuation", "a string or an array of strings", continuation);
  if (continuation.empty() || continuation.size() > kMostContinuations)
    throw_value("continuation", "from 1 to " + std::to_string(kMostContinuations) + " strings", continuation);
  for (size_t i = 0; i < continuation.size(); ++i) add(element("continuation", i), continuation[i]);
}

void read_rolling_line(Request& request, const OrderedJson& line) {
  request.kind = RequestKind::rolling;
  read_optional_id(request, line);
  refuse_other_fields(line, {"text", "rolling"}, "a rolling scoring line");
  read_model(request, line);
  const OrderedJson& rolling = required(line, "rolling");
  if (!read_bool("rolling", rolling)) throw_value("rolling", "true", rolling);
  request.text = read_string("text", required(line, "text"));
}

}  // namespace penstock
