#include "engine/text/token_decoder.h"

#include "engine/text/decode_stages.h"
#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

StageMaker strip_maker(const Node& node) {
  node.only({"type", "content", "start", "stop"});
  std::string character = node.at("content").string();
  if (character.empty() || first_character(character.data()).bytes != character.size())
    node.at("content").fail("must be one character");
  auto start = static_cast<size_t>(node.at("start").integer(0, INT32_MAX));
  auto stop = static_cast<size_t>(node.at("stop").integer(0, INT32_MAX));
  return [=](DecodeStage& next) { return std::make_unique<StripStage>(character, start, stop, next); };
}

StageMaker replace_maker(const Node& node) {
  node.only({"type", "pattern", "content"});
  auto pattern = std::make_shared<const Regex>(node.at("pattern"));
  return [pattern, content = node.at("content").string()](DecodeStage& next) {
    return std::make_unique<ReplaceStage>(pattern, content, next);
  };
}

template <typename Stage>
StageMaker plain_maker() {
  return [](DecodeStage& next) { return std::make_unique<Stage>(next); };
}

}  // namespace

void TokenDecoder::read(const Node& node) {
  std::string type = node.type();
  if (type == "Sequence") {
    node.only({"type", "decoders"});
    Node list = node.at("decoders");
    for (size_t i = 0; i < list.size(); ++i) read(list.element(i));
  } else if (type == "ByteLevel") {
    node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    stages_.push_back(plain_maker<ByteLevelStage>());
  } else if (type == "ByteFallback") {
    node.only({"type"});
    stages_.push_back(plain_maker<ByteFallbackStage>());
  } else if (type == "Fuse") {
    node.only({"type"});
    stages_.push_back(plain_maker<FuseStage>());
  } else if (type == "Metaspace") {
    stages_.push_back(
        [rule = read_metaspace(node)](DecodeStage& next) { return std::make_unique<MetaspaceStage>(rule, next); });
  } else if (type == "Replace") {
    stages_.push_back(replace_maker(node));
  } else if (type == "Strip") {
    stages_.push_back(strip_maker(node));
  } else {
    node.fail("is of type " + quote(type) + ", which is not supported");
  }
}

// The end of every chain.
class DecodeStream::Collector : public DecodeStage {
 public:
  explicit Collector(bool joins_with_space) : joins_with_space_(joins_with_space) {}

  void chunk(std::string_view text, bool ends_token) override {
    if (joins_with_space_ && !first_ && begins_token_) *out += ' ';
    *out += text;
    first_ = false;
    begins_token_ = ends_token;
  }
  void finish() override {}

  std::string* out = nullptr;  // set for the time of one push

 private:
  bool joins_with_space_, first_ = true, begins_token_ = true;
};

DecodeStream::DecodeStream(const TokenDecoder& decoder)
    : collector_(std::make_unique<Collector>(decoder.joins_with_space_)), first_(collector_.get()) {
  for (auto maker = decoder.stages_.rbegin(); maker != decoder.stages_.rend(); ++maker) {
    stages_.push_back((*maker)(*first_));
    first_ = stages_.back().get();
  }
}

DecodeStream::~DecodeStream() = default;
DecodeStream::DecodeStream(DecodeStream&&) noexcept = default;
DecodeStream& DecodeStream::operator=(DecodeStream&&) noexcept = default;

void DecodeStream::push(std::string_view spelling, std::string& out) {
  collector_->out = &out;
  first_->chunk(spelling, true);
}

void DecodeStream::finish(std::string& out) {
  collector_->out = &out;
  first_->finish();
}

}  // namespace penstock::text
