#include "engine/text/tokenizer.h"

#include <algorithm>
#include <stdexcept>

#include "engine/text/tokenizer_impl.h"
#include "engine/text/unicode.h"

namespace penstock {
namespace text {
namespace {

constexpr size_t kMaxFileBytes = 256 << 20;

Json parse_file(std::string_view json_text, const std::string& path) {
  if (json_text.size() > kMaxFileBytes) throw Error(ExitCode::bad_model, path + ": larger than 256 MiB");
  try {
    return parse_json(json_text);
  } catch (const JsonError& e) {
    throw Error(ExitCode::bad_model, path + ": byte " + std::to_string(e.byte_offset) + ": " + e.what());
  }
}

// Refuses what the file says about encoding beyond the parts that are read below.
const Node& checked(const Node& root) {
  root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
             "decoder", "model"});
  if (auto version = root.find("version"); version && version->string() != "1.0") version->fail("must be 1.0");
  for (const char* key : {"truncation", "padding"})
    if (auto part = root.find(key)) part->fail("is not supported: it would change the ids of every text");
  return root;
}

// The part of `literal` inside [begin, end), relative to begin.
std::vector<Range> clip(std::span<const Range> literal, size_t begin, size_t end) {
  std::vector<Range> inside;
  auto range = std::partition_point(literal.begin(), literal.end(), [&](const Range& r) { return r.end <= begin; });
  for (; range != literal.end() && range->begin < end; ++range)
    inside.push_back({std::max(range->begin, begin) - begin, std::min(range->end, end) - begin});
  return inside;
}

}  // namespace

std::unique_ptr<SubwordModel::Session> SessionPool::take() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto session = std::move(idle_.back());
      idle_.pop_back();
      return session;
    }
  }
  return model_.new_session();
}

void SessionPool::give_back(std::unique_ptr<SubwordModel::Session> session) {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(session));
}

}  // namespace text

using text::Node;

Tokenizer::Impl::Impl(const Node& root)
    : normalizer(text::checked(root).find("normalizer") ? text::read_normalizer(root.at("normalizer")) : nullptr),
      pre_tokenization(root.find("pre_tokenizer") ? text::read_pre_tokenizer(root.at("pre_tokenizer"))
                                                  : text::PreTokenization{nullptr, text::WordUnit::characters}),
      model(text::read_subword_model(root.at("model"), pre_tokenization.unit)),
      added(root.find("added_tokens"), model->vocabulary(), normalizer.get()),
      sessions(*model) {
  if (auto node = root.find("post_processor")) post_processor = text::PostProcessor(*node);
  if (auto node = root.find("decoder")) decoder = text::TokenDecoder(*node);
}

void Tokenizer::Impl::encode_text(std::string_view text, std::span<const Range> literal,
                                  text::SubwordModel::Session& session, std::vector<int32_t>& ids) const {
  added.in_source().for_each_span(text, literal, [&](size_t begin, size_t end, int32_t id) {
    if (id >= 0) return ids.push_back(id);
    text::WorkingText stretch{text.substr(begin, end - begin), text::clip(literal, begin, end), begin == 0, {}};
    if (normalizer) normalizer->normalize(stretch);
    added.in_normalized().for_each_span(stretch.bytes, stretch.literal, [&](size_t from, size_t to, int32_t token) {
      if (token >= 0) return ids.push_back(token);
      text::Piece piece{stretch.bytes.substr(from, to - from), stretch.starts_text && from == 0};
      auto encode_word = [&](const text::Piece& word) { session.encode(word.text, ids); };
      if (pre_tokenization.splitter)
        pre_tokenization.splitter->split(piece, encode_word);
      else
        encode_word(piece);
    });
  });
}

std::optional<std::string_view> Tokenizer::Impl::spelling(int32_t id, bool skip_special_tokens) const {
  if (const text::AddedToken* token = added.find(id)) {
    if (skip_special_tokens && added.is_skipped(*token)) return std::nullopt;
    return token->pattern;
  }
  return model->vocabulary().spelling(id);
}

Tokenizer::Tokenizer(std::string_view json_text, const std::string& path) {
  Json json = text::parse_file(json_text, path);
  impl_ = std::make_unique<const Impl>(Node(json, path));
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens,
                                       std::span<const Range> literal) const {
  if (!text::is_utf8(text)) throw std::invalid_argument("the text to encode is not UTF-8");
  size_t last = 0;
  for (const Range& range : literal) {
    if (range.begin < last || range.end < range.begin || range.end > text.size())
      throw std::invalid_argument("literal ranges must be ascending, disjoint and inside the text");
    last = range.end;
  }
  std::vector<int32_t> ids;
  auto session = impl_->sessions.take();  // lost, not leaked, when encoding throws
  impl_->encode_text(text, literal, *session, ids);
  impl_->sessions.give_back(std::move(session));
  impl_->post_processor.apply(ids, add_special_tokens);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  text::DecodeStream stream(impl_->decoder);
  std::string out;
  for (int32_t id : ids)
    if (auto spelling = impl_->spelling(id, skip_special_tokens)) stream.push(*spelling, out);
  stream.finish(out);
  return out;
}

int32_t Tokenizer::vocab_size() const {
  const auto& entries = impl_->model->vocabulary().by_id();
  return std::max(entries.empty() ? -1 : entries.back().id, impl_->added.largest_id()) + 1;
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (auto id = impl_->added.id(token)) return id;
  return impl_->model->vocabulary().id(token);
}

std::string Tokenizer::id_to_token(int32_t id) const {
  if (const text::AddedToken* token = impl_->added.find(id)) return token->content;
  return std::string(impl_->model->vocabulary().spelling(id).value_or(""));
}

bool Tokenizer::is_special(int32_t id) const {
  const text::AddedToken* token = impl_->added.find(id);
  return token && token->special;
}

}  // namespace penstock
