#include "engine/text/normalizer.h"

#include <utf8proc.h>

#include "engine/text/regex.h"
#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

class Sequence : public Normalizer {
 public:
  explicit Sequence(const Node& parts) {
    for (size_t i = 0; i < parts.size(); ++i) parts_.push_back(read_normalizer(parts.element(i)));
  }
  void normalize(WorkingText& text) const override {
    for (const auto& part : parts_) part->normalize(text);
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> parts_;
};

// Character by character, as Rust's char::to_lowercase: no context, so no final sigma.
class Lowercase : public Normalizer {
 public:
  void normalize(WorkingText& text) const override {
    Rewrite rewrite(text);
    std::string lower;
    for (size_t at = 0; at < text.bytes.size();) {
      Character c = first_character(text.bytes.data() + at);
      lower.clear();
      if (c.code == 0x130)
        lower = "i\xCC\x87";  // the one character whose lower case is two
      else
        append_utf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code))), lower);
      if (text.bytes.substr(at, c.bytes) == lower)
        rewrite.keep(c.bytes);
      else
        rewrite.replace(c.bytes, lower);
      at += c.bytes;
    }
    rewrite.commit();
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void normalize(WorkingText& text) const override {
    size_t begin = 0, end = text.bytes.size();
    while (left_ && begin < end) {
      Character c = first_character(text.bytes.data() + begin);
      if (!is_space(c.code)) break;
      begin += c.bytes;
    }
    while (right_ && begin < end) {
      Character c = last_character(text.bytes.substr(begin, end - begin));
      if (!is_space(c.code)) break;
      end -= c.bytes;
    }
    if (begin == 0 && end == text.bytes.size()) return;
    size_t tail = text.bytes.size() - end;
    Rewrite rewrite(text);
    rewrite.replace(begin, "");
    rewrite.keep(end - begin);
    rewrite.replace(tail, "");
    rewrite.commit();
    if (begin > 0) text.starts_text = false;
  }

 private:
  bool left_, right_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void normalize(WorkingText& text) const override {
    if (text.bytes.empty()) return;
    Rewrite rewrite(text);
    rewrite.replace(0, prefix_);
    rewrite.keep(text.bytes.size());
    rewrite.commit();
  }

 private:
  std::string prefix_;
};

class Replace : public Normalizer {
 public:
  Replace(const Node& pattern, std::string content) : pattern_(pattern), content_(std::move(content)) {}
  void normalize(WorkingText& text) const override {
    Rewrite rewrite(text);
    pattern_.for_each_span(text.bytes, [&](size_t begin, size_t end, bool matched) {
      if (matched)
        rewrite.replace(end - begin, content_);
      else
        rewrite.keep(end - begin);
    });
    rewrite.commit();
  }

 private:
  Regex pattern_;
  std::string content_;
};

}  // namespace

std::string Normalizer::normalized(std::string_view text) const {
  WorkingText working{text, {}, true, {}};
  normalize(working);
  return std::string(working.bytes);
}

std::unique_ptr<const Normalizer> read_normalizer(const Node& node) {
  std::string type = node.type();
  if (type == "Sequence") {
    node.only({"type", "normalizers"});
    return std::make_unique<Sequence>(node.at("normalizers"));
  }
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    node.only({"type"});
    return make_unicode_normalizer(type);
  }
  if (type == "Lowercase") {
    node.only({"type"});
    return std::make_unique<Lowercase>();
  }
  if (type == "Strip") {
    node.only({"type", "strip_left", "strip_right"});
    return std::make_unique<Strip>(node.at("strip_left").boolean(), node.at("strip_right").boolean());
  }
  if (type == "Prepend") {
    node.only({"type", "prepend"});
    return std::make_unique<Prepend>(node.at("prepend").string());
  }
  if (type == "Replace") {
    node.only({"type", "pattern", "content"});
    return std::make_unique<Replace>(node.at("pattern"), node.at("content").string());
  }
  if (type == "Precompiled") {
    node.only({"type", "precompiled_charsmap"});
    return make_precompiled_normalizer(node.at("precompiled_charsmap"));
  }
  node.fail("is of type " + quote(type) + ", which is not supported");
}

}  // namespace penstock::text
