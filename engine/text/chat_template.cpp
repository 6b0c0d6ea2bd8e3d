#include "engine/text/chat_template.h"

#include <algorithm>

#include "engine/text/template_eval.h"
#include "engine/text/template_parser.h"
#include "engine/text/unicode.h"
#include "kernels/error.h"

namespace penstock {

struct ChatTemplate::Impl {
  Impl(std::string_view text, const std::string& name)
      : source(checked(text, name), name), parsed(jinja::Parser(source).parse()) {}
  static std::string_view checked(std::string_view text, const std::string& name) {
    if (!text::is_utf8(text)) throw Error(ExitCode::bad_model, name + ": is not UTF-8");
    return text;
  }
  jinja::Source source;
  jinja::Template parsed;
};

ChatTemplate::ChatTemplate(std::string_view source, const std::string& name)
    : impl_(std::make_unique<const Impl>(source, name)) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

ChatTemplate::Rendered ChatTemplate::render(const nlohmann::ordered_json& variables, const Limits& limits) const {
  int line = 1;
  auto place = [&] { return impl_->source.name() + ":" + std::to_string(line) + ": "; };
  try {
    jinja::Interpreter interpreter(variables, limits);
    try {
      jinja::Text text = interpreter.run(impl_->parsed);
      return {std::move(text.bytes), std::move(text.request)};
    } catch (const TemplateError&) {
      line = interpreter.line();
      throw;
    }
  } catch (const jinja::Unsupported& error) {
    throw TemplateError(place() + error.what() + "\n  " + impl_->source.shown(line));
  } catch (const TemplateError& error) {
    throw TemplateError(place() + error.what());
  }
}

namespace jinja {
namespace {

Value from_json(const nlohmann::ordered_json& json, bool from_request, int depth) {
  using Type = nlohmann::ordered_json::value_t;
  if (depth > max_value_depth) fail("the variables are nested too deep");
  switch (json.type()) {
    case Type::boolean:
      return json.get<bool>();
    case Type::number_float:
      return json.get<double>();
    case Type::number_integer:
      return json.get<int64_t>();
    case Type::number_unsigned:
      if (json.get<uint64_t>() > INT64_MAX) fail("a number of the variables does not fit into 64 bits");
      return json.get<int64_t>();
    case Type::string:
      return make_text(json.get_ref<const std::string&>(), from_request);
    case Type::array: {
      std::vector<Value> elements;
      elements.reserve(json.size());
      for (auto& element : json) elements.push_back(from_json(element, from_request, depth + 1));
      return make_list(std::move(elements));
    }
    case Type::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (auto& [key, value] : json.items())
        entries.emplace_back(make_text(key, from_request), from_json(value, from_request, depth + 1));
      return make_dict(std::move(entries));
    }
    default:
      return None{};
  }
}

}  // namespace

// The model's own tokens are as trusted as its template.
Interpreter::Interpreter(const nlohmann::ordered_json& variables, const ChatTemplate::Limits& limits)
    : budget_(limits) {
  static constexpr std::string_view trusted[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
  for (auto& [key, value] : variables.items()) {
    bool from_request = std::find(std::begin(trusted), std::end(trusted), key) == std::end(trusted);
    variables_[key] = from_json(value, from_request, 0);
  }
}

}  // namespace jinja
}  // namespace penstock
