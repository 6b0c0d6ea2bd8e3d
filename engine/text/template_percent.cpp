// The % operator of Python's str.
#include <cmath>

#include "engine/text/template_eval.h"
#include "engine/text/template_filters.h"
#include "engine/text/template_format_spec.h"

namespace penstock::jinja {
namespace {

class PercentFormat {
 public:
  PercentFormat(Interpreter& interpreter, const Text& format, const Value& values)
      : budget_(interpreter.budget()), format_(format), values_(values), out_(budget_) {
    auto* sequence = as_sequence(values);
    if (sequence && sequence->kind == Sequence::Kind::tuple) tuple_ = sequence;
  }

  TextPtr run() {
    const std::string& bytes = format_.bytes;
    while (at_ < bytes.size()) {
      size_t percent = std::min(bytes.find('%', at_), bytes.size());
      out_.append(format_, at_, percent);
      if (percent == bytes.size()) break;
      at_ = percent + 1;
      directive();
    }
    size_t given = tuple_ ? tuple_->elements.size() : 1;
    if (used_ < given && (tuple_ || !mapping())) fail("not all arguments converted during string formatting");
    return out_.finish(format_.markup);
  }

 private:
  // Python takes everything with an index operator for a mapping, except strings and tuples.
  bool mapping() const {
    auto* sequence = as_sequence(values_);
    return as_dict(values_) || (sequence && sequence->kind <= Sequence::Kind::range && !tuple_);
  }

  const Value& next_value() {
    if (named_) return *named_;
    if (used_ == (tuple_ ? tuple_->elements.size() : 1)) fail("not enough arguments for format string");
    return tuple_ ? tuple_->elements[used_++] : (used_++, values_);
  }

  char current() const { return at_ < format_.bytes.size() ? format_.bytes[at_] : '\0'; }

  int64_t number() {
    int64_t value = 0;
    if (current() == '*') {
      at_++;
      auto* given = as<int64_t>(next_value());
      if (!given) fail("* wants int");
      value = *given;
    } else {
      for (; current() >= '0' && current() <= '9' && value <= max_format_width; at_++)
        value = value * 10 + (current() - '0');
    }
    if (value > max_format_width || value < -max_format_width) fail("a format's width is too large");
    return value;
  }

  // %(name)…
  void read_name() {
    named_.reset();
    if (current() != '(') return;
    if (!as_dict(values_)) fail("format requires a mapping");
    size_t depth = 1, begin = ++at_;
    for (; at_ < format_.bytes.size() && depth > 0; at_++)
      depth = depth + (current() == '(' ? 1 : 0) - (current() == ')' ? 1 : 0);
    if (depth > 0) fail("incomplete format key");
    std::string key = format_.bytes.substr(begin, at_ - 1 - begin);
    auto* found = as_dict(values_)->find(std::string_view(key));
    if (!found) fail("the format's key '" + key + "' is not in the mapping");
    named_ = *found;
  }

  void directive() {
    if (current() == '%') return at_++, out_.literal("%");
    read_name();
    FormatSpec spec;
    bool left = false, zeros = false;
    for (; std::string_view("-+ 0#").find(current()) != std::string_view::npos && current(); at_++) {
      left |= current() == '-';
      zeros |= current() == '0';
      if (current() == '+' || (current() == ' ' && spec.sign != '+')) spec.sign = current();
      spec.alternate |= current() == '#';
    }
    spec.width = number();
    if (spec.width < 0) left = true, spec.width = -spec.width;
    if (current() == '.') spec.precision = (at_++, std::max<int64_t>(number(), 0));
    if (current() == 'l' || current() == 'h' || current() == 'L') at_++;
    if (at_ == format_.bytes.size()) fail("incomplete format");
    spec.type = format_.bytes[at_++];
    convert(spec, left, zeros);
  }

  void convert(FormatSpec& spec, bool left, bool zeros) {
    const Value& value = next_value();
    switch (spec.type) {
      case 's':
        return text(spec, to_text(budget_, value), left);
      case 'r': {
        TextBuilder repr(budget_);
        append_repr(repr, value);
        return text(spec, repr.finish(), left);
      }
      case 'a':
        return text(spec, ascii_repr(budget_, value), left);
      case 'c':
        return character(spec, value, left);
      default:
        break;
    }
    if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
    spec.align = left ? '<' : '\0';
    if (zeros && !left) spec.fill = "0", spec.zero_padded = true;
    if (std::string_view("doxX").find(spec.type) != std::string_view::npos) return integer(spec, value);
    double real;
    if (std::string_view("eEfFgG").find(spec.type) == std::string_view::npos)
      fail("unsupported format character '" + std::string(1, spec.type) + "'");
    if (is_undefined(value)) fail_undefined(value);
    if (!as_number(value, real)) fail("must be real number, not " + std::string(type_name(value)));
    append_number(out_, spec, real_text(spec, real));
  }

  void text(const FormatSpec& spec, TextPtr made, bool left) {
    if (format_.markup) made = escape_html(budget_, *made);
    append_padded(out_, spec, *made, left ? '<' : '>');
  }

  void character(const FormatSpec& spec, const Value& value, bool left) {
    FormatSpec padding;
    padding.width = spec.width;
    int64_t code;
    if (auto* given = as_text(value)) {
      if (count_code_points(given->bytes) != 1) fail("%c requires int or char");
      return append_padded(out_, padding, *given, left ? '<' : '>');
    }
    if (!as_int(value, code)) fail("%c requires int or char");
    padding.type = 'c';
    padding.align = left ? '<' : '>';
    append_formatted(out_, padding, code);
  }

  void integer(const FormatSpec& spec, const Value& value) {
    int64_t integer;
    if (is_undefined(value)) fail_undefined(value);
    if (auto* real = as<double>(value); real && spec.type == 'd') {
      if (!(std::fabs(*real) < 9.2e18)) fail("an integer does not fit into 64 bits");
      integer = static_cast<int64_t>(*real);
    } else if (!as_int(value, integer)) {
      fail("%" + std::string(1, spec.type) + " format: a number is required, not " + std::string(type_name(value)));
    }
    NumberText number = integer_text(spec, integer);
    while (static_cast<int64_t>(number.digits.size()) < spec.precision) number.digits.insert(0, "0");
    append_number(out_, spec, std::move(number));
  }

  Budget& budget_;
  const Text& format_;
  const Value& values_;
  const Sequence* tuple_ = nullptr;
  std::optional<Value> named_;
  TextBuilder out_;
  size_t at_ = 0, used_ = 0;
};

}  // namespace

TextPtr format_percent(Interpreter& interpreter, const Text& format, const Value& values) {
  return PercentFormat(interpreter, format, values).run();
}

}  // namespace penstock::jinja
