#include "engine/text/unigram.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "engine/text/unicode.h"
#include "engine/text/word_cache.h"

namespace penstock::text {
namespace {

// An unknown character costs this much more than the least likely piece, as in SentencePiece.
constexpr double kUnknownPenalty = 10;

// The double that the tokenizers library reads where the nearest one is `nearest`: its JSON parser (serde_json) takes the
// digits as an integer and divides by a power of ten, two roundings. Sums that ought to be equal, as of the ways to cut
// "000" into "0" and "00", are ranked by such last bits.
double as_library_reads(double nearest) {
  char text[32];
  const char* const end = std::to_chars(text, text + sizeof text, std::abs(nearest), std::chars_format::scientific).ptr;
  const char* mark = std::find<const char*>(text, end, 'e');
  int exponent = std::atoi(std::string(mark + 1, end).c_str());
  uint64_t digits = 0;
  for (const char* at = text; at < mark; ++at) {
    if (*at == '.') continue;
    digits = 10 * digits + static_cast<uint64_t>(*at - '0');
    if (at > text) --exponent;
  }
  auto value = static_cast<double>(digits);
  for (; exponent < -308; exponent += 308) value /= 1e308;
  const double power = std::stod("1e" + std::to_string(std::abs(exponent)));
  return std::copysign(exponent < 0 ? value / power : value * power, nearest);
}

// [[piece, score], …] as the object that Vocabulary reads: an id is a place in the list.
Json vocabulary_object(const Node& pieces) {
  Json object = Json::object();
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Json& piece = pieces.json()[i];
    if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() || !piece[1].is_number())
      pieces.element(i).fail("must be a piece and its score");
    // Every place of a text tries all pieces that begin there.
    constexpr size_t kMostBytes = 1024;
    if (piece[0].get_ref<const std::string&>().size() > kMostBytes)
      pieces.element(i).fail("has more than 1024 bytes");
    if (!object.emplace(piece[0].get<std::string>(), i).second)
      pieces.element(i).fail("is the second " + quote(piece[0].get_ref<const std::string&>()));
  }
  return object;
}

}  // namespace

UnigramModel::UnigramModel(const Node& node)
    : vocabulary_(Node(vocabulary_object(node.at("vocab")), node.place())),
      trie_(vocabulary_),
      byte_fallback_(node.boolean_or("byte_fallback", false)) {
  node.only({"type", "unk_id", "vocab", "byte_fallback"});
  read_scores(node.at("vocab"));
  if (auto unknown = node.find("unk_id")) {
    unknown_id_ = unknown->token_id();
    if (static_cast<size_t>(*unknown_id_) >= scores_.size()) unknown->fail("is not an id of the vocabulary");
  }
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    fallback_ids_[byte] =
        vocabulary_.id(std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">").value_or(-1);
  }
}

void UnigramModel::read_scores(const Node& pieces) {
  double least = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    scores_.push_back(as_library_reads(pieces.json()[i][1].get<double>()));
    least = i == 0 ? scores_[0] : std::min(least, scores_[i]);
  }
  unknown_score_ = least - kUnknownPenalty;
}

class UnigramModel::UnigramSession : public SubwordModel::Session {
 public:
  explicit UnigramSession(const UnigramModel& model) : model_(model) {}

  void encode(std::string_view word, std::vector<int32_t>& ids) override {
    if (word.empty() || cache_.find(word, ids)) return;
    const size_t before = ids.size();
    find_best_path(word);
    follow_path(word);
    append_ids(word, ids);
    cache_.keep(word, std::span(ids).subspan(before));
  }

 private:
  // The best way to cut the text before a place, by the last piece of it.
  struct Best {
    double score = 0;
    size_t begin = kNowhere;
    int32_t id = -1;  // kUnknown: a character without a piece
  };
  struct Cut {
    size_t begin, end;
    bool unknown;
  };
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();
  static constexpr int32_t kUnknown = -1;

  void find_best_path(std::string_view word) {
    best_.assign(word.size() + 1, {});
    for (size_t at = 0; at < word.size();) {
      const double so_far = best_[at].score;
      const size_t character = first_character(word.data() + at).bytes;
      bool has_character = false;
      auto consider = [&](size_t length, int32_t id, double score) {
        Best& target = best_[at + length];
        if (target.begin == kNowhere || score > target.score) target = {score, at, id};
      };
      model_.trie_.for_each_prefix(word.substr(at), [&](size_t length, int32_t id) {
        consider(length, id, model_.scores_[id] + so_far);
        has_character |= length == character;
      });
      if (!has_character) consider(character, kUnknown, model_.unknown_score_ + so_far);
      at += character;
    }
  }

  // Neighbouring unknown characters are one piece, and so is what the vocabulary itself calls unknown.
  void follow_path(std::string_view word) {
    cuts_.clear();
    for (size_t end = word.size(); end > 0;) {
      const Best& piece = best_[end];
      const bool unknown = piece.id == kUnknown || piece.id == model_.unknown_id_;
      if (unknown && !cuts_.empty() && cuts_.back().unknown)
        cuts_.back().begin = piece.begin;
      else
        cuts_.push_back({piece.begin, end, unknown});
      end = piece.begin;
    }
    std::reverse(cuts_.begin(), cuts_.end());
  }

  void append_ids(std::string_view word, std::vector<int32_t>& ids) const {
    for (const Cut& cut : cuts_) {
      const std::string_view piece = word.substr(cut.begin, cut.end - cut.begin);
      if (auto id = model_.vocabulary_.id(piece)) {
        ids.push_back(*id);
      } else if (model_.byte_fallback_ && std::all_of(piece.begin(), piece.end(), [&](char c) {
                   return model_.fallback_ids_[static_cast<unsigned char>(c)] >= 0;
                 })) {
        for (char c : piece) ids.push_back(model_.fallback_ids_[static_cast<unsigned char>(c)]);
      } else if (model_.unknown_id_) {
        ids.push_back(*model_.unknown_id_);
      } else {
        throw Error(ExitCode::bad_model,
                    "the tokenizer has no piece for " + quote(piece) + ", and names no unknown token");
      }
    }
  }

  const UnigramModel& model_;
  WordCache cache_;
  std::vector<Best> best_;  // by place, [bytes + 1]
  std::vector<Cut> cuts_;
};

std::unique_ptr<SubwordModel::Session> UnigramModel::new_session() const {
  return std::make_unique<UnigramSession>(*this);
}

}  // namespace penstock::text
