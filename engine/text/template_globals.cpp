// The functions that every template can call, as Hugging Face sets them up.
#include <sys/time.h>

#include <ctime>

#include "engine/text/template_filters.h"
#include "engine/text/template_objects.h"

namespace penstock::jinja {
namespace {

int64_t integer_argument(const Value& value) {
  int64_t out;
  if (is_undefined(value)) fail_undefined(value);
  if (!as_int(value, out)) fail("'" + std::string(type_name(value)) + "' object cannot be interpreted as an integer");
  return out;
}

Value new_range(Interpreter& interpreter, const Value&, const Args& args) {
  auto bound = args.bind("range", {"start", "stop", "step"}, 1);
  if (!args.named.empty()) fail("range() takes no keyword arguments");
  int64_t start = bound[1] ? integer_argument(*bound[0]) : 0;
  int64_t stop = integer_argument(bound[1] ? *bound[1] : *bound[0]);
  int64_t step = bound[2] ? integer_argument(*bound[2]) : 1;
  if (step == 0) fail("range() arg 3 must not be zero");
  return make_range(interpreter.budget(), start, stop, step);
}

// dict(mapping or pairs, name=value, …)
std::vector<std::pair<Value, Value>> dict_entries(Interpreter& interpreter, const Args& args) {
  std::vector<std::pair<Value, Value>> entries;
  if (args.positional.size() > 1) fail("dict expected at most 1 argument");
  if (!args.positional.empty()) {
    auto& source = args.positional[0];
    if (auto* dict = as_dict(source))
      entries = dict->entries;
    else if (is_undefined(source))
      fail_undefined(source);
    else
      for (auto& pair : interpreter.elements(source)) {
        auto two = interpreter.elements(pair);
        if (two.size() != 2) fail("dict(): an element of the sequence is no pair");
        entries.emplace_back(two[0], two[1]);
      }
  }
  for (auto& [name, value] : args.named) entries.emplace_back(text_value(name), value);
  interpreter.budget().charge_elements(entries.size());
  return entries;
}

Value new_namespace(Interpreter& interpreter, const Value&, const Args& args) {
  auto* space = interpreter.own(std::make_unique<Namespace>());
  for (auto& [name, value] : dict_entries(interpreter, args)) {
    if (!as_text(name)) fail("a namespace's attribute names must be strings");
    space->set(interpreter.budget(), as_text(name)->bytes, value);
  }
  return static_cast<Object*>(space);
}

Value new_cycler(Interpreter& interpreter, const Value&, const Args& args) {
  if (args.positional.empty() || !args.named.empty()) fail("cycler() takes at least one item");
  auto* cycler = interpreter.own(std::make_unique<Cycler>());
  cycler->elements = args.positional;
  return static_cast<Object*>(cycler);
}

Value new_joiner(Interpreter& interpreter, const Value&, const Args& args) {
  auto bound = args.bind("joiner", {"sep"});
  auto* joiner = interpreter.own(std::make_unique<Joiner>());
  joiner->separator = bound[0] ? *bound[0] : text_value(", ");
  return static_cast<Object*>(joiner);
}

Value raise_exception(Interpreter& interpreter, const Value&, const Args& args) {
  auto bound = args.bind("raise_exception", {"message"}, 1);
  fail(to_text(interpreter.budget(), *bound[0])->bytes);
}

// datetime.now().strftime: %f is the microseconds; a naive datetime has no zone.
Value strftime_now(Interpreter&, const Value&, const Args& args) {
  auto* given = as_text(*args.bind("strftime_now", {"format"}, 1)[0]);
  if (!given) fail("strftime_now: the format must be a string");
  timeval now;
  gettimeofday(&now, nullptr);
  std::tm local;
  localtime_r(&now.tv_sec, &local);
  std::string format;
  for (size_t i = 0; i < given->bytes.size(); i++) {
    char directive = given->bytes[i] == '%' && i + 1 < given->bytes.size() ? given->bytes[i + 1] : '\0';
    if (directive == 'f') {
      auto micros = std::to_string(now.tv_usec);
      format += std::string(6 - micros.size(), '0') + micros;
    } else if (directive && directive != 'z' && directive != 'Z') {
      format += {'%', directive};
    } else if (!directive) {
      format += given->bytes[i];
    }
    if (directive) i++;
  }
  if (format.size() > 1000) fail("strftime_now: the format is too long");
  char buffer[16000];
  size_t length = std::strftime(buffer, sizeof buffer, format.c_str(), &local);
  return make_text({buffer, length}, !given->request.empty());
}

}  // namespace

bool DictType::attribute(Interpreter& interpreter, std::string_view name, Value& out) {
  if (name != "fromkeys") return false;
  auto fromkeys = [](Interpreter& in, const Value&, const Args& args) { return dict_from_keys(in, args); };
  out = interpreter.own(std::make_unique<Function>("fromkeys", fromkeys, None{}));
  return true;
}

Value DictType::call(Interpreter& interpreter, Args& args) { return make_dict(dict_entries(interpreter, args)); }

bool find_global(Interpreter& interpreter, std::string_view name, Value& out) {
  static constexpr std::pair<std::string_view, Function::Body> functions[] = {
      {"range", new_range},   {"namespace", new_namespace},         {"cycler", new_cycler},
      {"joiner", new_joiner}, {"raise_exception", raise_exception}, {"strftime_now", strftime_now}};
  if (name == "dict") return out = interpreter.own(std::make_unique<DictType>()), true;
  if (name == "lipsum") fail_unsupported("lipsum");
  for (auto& [known, body] : functions)
    if (known == name) {
      out = interpreter.own(std::make_unique<Function>(std::string(name), body, None{}));
      return true;
    }
  return false;
}

}  // namespace penstock::jinja
