#include "engine/text/pre_tokenizer.h"

#include <vector>

#include "engine/text/byte_level.h"
#include "engine/text/metaspace.h"
#include "engine/text/regex.h"
#include "engine/text/split_behavior.h"
#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const PreTokenizer>> parts) : parts_(std::move(parts)) {}
  void split(const Piece& piece, PieceSink sink) const override { split_from(0, piece, sink); }

 private:
  void split_from(size_t part, const Piece& piece, PieceSink sink) const {
    if (part == parts_.size()) return sink(piece);
    parts_[part]->split(piece, [&](const Piece& smaller) { split_from(part + 1, smaller, sink); });
  }

  std::vector<std::unique_ptr<const PreTokenizer>> parts_;
};

// Words stay raw bytes here; the spelling as printable characters is undone when the model is read.
class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}

  void split(const Piece& piece, PieceSink sink) const override {
    if (!add_prefix_space_ || piece.text.starts_with(' ')) return cut(piece, sink);
    std::string spaced = " ";
    spaced += piece.text;
    cut({spaced, piece.starts_text}, sink);
  }

 private:
  void cut(const Piece& piece, PieceSink sink) const {
    if (use_regex_)
      split_like_gpt2(piece, sink);
    else
      sink(piece);
  }

  bool add_prefix_space_, use_regex_;
};

// Splits at single characters of one kind.
class CharacterSplit : public PreTokenizer {
 public:
  CharacterSplit(bool (*is_delimiter)(char32_t), SplitBehavior behavior)
      : is_delimiter_(is_delimiter), behavior_(behavior) {}

  void split(const Piece& piece, PieceSink sink) const override {
    Splitter splitter(piece, behavior_, sink);
    size_t begin = 0;
    for (size_t at = 0; at < piece.text.size();) {
      Character c = first_character(piece.text.data() + at);
      if (is_delimiter_(c.code)) {
        if (begin < at) splitter.span(begin, at, false);
        begin = at + c.bytes;
        splitter.span(at, begin, true);
      }
      at += c.bytes;
    }
    if (begin < piece.text.size()) splitter.span(begin, piece.text.size(), false);
    splitter.finish();
  }

 private:
  bool (*is_delimiter_)(char32_t);
  SplitBehavior behavior_;
};

class RegexSplit : public PreTokenizer {
 public:
  RegexSplit(const Node& pattern, SplitBehavior behavior, bool invert)
      : pattern_(pattern), behavior_(behavior), invert_(invert) {}

  void split(const Piece& piece, PieceSink sink) const override {
    Splitter splitter(piece, behavior_, sink);
    pattern_.for_each_span(
        piece.text, [&](size_t begin, size_t end, bool matched) { splitter.span(begin, end, matched != invert_); });
    splitter.finish();
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// The matches of \w+|[^\w\s]+.
class Whitespace : public PreTokenizer {
 public:
  void split(const Piece& piece, PieceSink sink) const override {
    enum Kind { none, space, word, symbol };
    Kind kind = none;
    size_t begin = 0;
    auto flush = [&](size_t end) {
      if (kind == word || kind == symbol)
        sink({piece.text.substr(begin, end - begin), piece.starts_text && begin == 0});
      begin = end;
    };
    for (size_t at = 0; at < piece.text.size();) {
      Character c = first_character(piece.text.data() + at);
      Kind next = is_word(c.code) ? word : is_space(c.code) ? space : symbol;
      if (next != kind) flush(at);
      kind = next;
      at += c.bytes;
    }
    flush(piece.text.size());
  }
};

class Reader {
 public:
  PreTokenization read(const Node& node) {
    auto splitter = component(node);
    return {std::move(splitter), saw_byte_level_ ? WordUnit::bytes : WordUnit::characters};
  }

 private:
  std::unique_ptr<const PreTokenizer> component(const Node& node) {
    std::string type = node.type();
    if (saw_byte_level_)
      node.fail("(" + quote(type) + ") comes after ByteLevel; only ByteLevel as the last pre-tokenizer is supported");
    if (type == "Sequence") return sequence(node);
    if (type == "ByteLevel") {
      node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
      saw_byte_level_ = true;
      return std::make_unique<ByteLevel>(node.at("add_prefix_space").boolean(), node.boolean_or("use_regex", true));
    }
    if (type == "Digits") {
      node.only({"type", "individual_digits"});
      bool individual = node.at("individual_digits").boolean();
      return std::make_unique<CharacterSplit>(is_numeric,
                                              individual ? SplitBehavior::isolated : SplitBehavior::contiguous);
    }
    if (type == "Split") {
      node.only({"type", "pattern", "behavior", "invert"});
      return std::make_unique<RegexSplit>(node.at("pattern"), read_split_behavior(node.at("behavior")),
                                          node.at("invert").boolean());
    }
    if (type == "Metaspace") return std::make_unique<Metaspace>(node);
    if (type == "Whitespace") {
      node.only({"type"});
      return std::make_unique<Whitespace>();
    }
    if (type == "WhitespaceSplit") {
      node.only({"type"});
      return std::make_unique<CharacterSplit>(is_space, SplitBehavior::removed);
    }
    node.fail("is of type " + quote(type) + ", which is not supported");
  }

  std::unique_ptr<const PreTokenizer> sequence(const Node& node) {
    node.only({"type", "pretokenizers"});
    Node list = node.at("pretokenizers");
    std::vector<std::unique_ptr<const PreTokenizer>> parts;
    for (size_t i = 0; i < list.size(); ++i) parts.push_back(component(list.element(i)));
    return std::make_unique<Sequence>(std::move(parts));
  }

  bool saw_byte_level_ = false;
};

}  // namespace

PreTokenization read_pre_tokenizer(const Node& node) { return Reader().read(node); }

}  // namespace penstock::text
