// SentencePiece's character map: a double array (Yata's darts-clone layout) from byte strings to what replaces them.
#include <utf8proc.h>

#include <cstring>

#include "engine/text/normalizer.h"
#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

std::string decode_base64(const Node& node) {
  const std::string text = node.string();
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value < 0) {
      if (text.find_first_not_of('=', i) == std::string::npos) break;
      node.fail("is not base64");
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (++count % 4 != 1) bytes += static_cast<char>(bits >> (6 - 2 * ((count - 1) % 4)) & 0xFF);
  }
  return bytes;
}

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(const Node& map) {
    const std::string bytes = decode_base64(map);
    uint32_t size = 0;
    if (bytes.size() >= sizeof size) std::memcpy(&size, bytes.data(), sizeof size);
    if (size == 0 || size % 4 != 0 || sizeof size + size > bytes.size()) map.fail("is not a character map");
    units_.resize(size / 4);
    std::memcpy(units_.data(), bytes.data() + sizeof size, size);
    replacements_ = bytes.substr(sizeof size + size) + '\0';
    if (!is_utf8(replacements_)) map.fail("replaces by what is not UTF-8");
  }

  // A whole grapheme cluster of a few bytes is looked up first, then its characters.
  void normalize(WorkingText& text) const override {
    constexpr size_t kLongestCluster = 5;
    Rewrite rewrite(text);
    for (size_t at = 0; at < text.bytes.size();) {
      const size_t cluster = cluster_bytes(text.bytes.substr(at));
      const char* whole = cluster <= kLongestCluster ? find(text.bytes.substr(at, cluster)) : nullptr;
      if (whole) {
        rewrite.replace(cluster, whole);
        at += cluster;
        continue;
      }
      for (const size_t end = at + cluster; at < end;) {
        const size_t character = first_character(text.bytes.data() + at).bytes;
        if (const char* with = find(text.bytes.substr(at, character)))
          rewrite.replace(character, with);
        else
          rewrite.keep(character);
        at += character;
      }
    }
    rewrite.commit();
  }

 private:
  static size_t cluster_bytes(std::string_view rest) {
    Character before = first_character(rest.data());
    size_t bytes = before.bytes;
    utf8proc_int32_t state = 0;
    while (bytes < rest.size()) {
      const Character next = first_character(rest.data() + bytes);
      if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before.code),
                                           static_cast<utf8proc_int32_t>(next.code), &state))
        break;
      bytes += next.bytes;
      before = next;
    }
    return bytes;
  }

  // What the shortest key that begins `text` is replaced by; null when there is none.
  const char* find(std::string_view text) const {
    auto offset = [](uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); };
    uint32_t at = offset(units_[0]);
    for (char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte == 0) return nullptr;
      at ^= byte;
      if (at >= units_.size()) return nullptr;
      const uint32_t unit = units_[at];
      if ((unit & (1u << 31 | 0xFFu)) != byte) return nullptr;
      at ^= offset(unit);
      if (unit >> 8 & 1) {
        const uint32_t value = at < units_.size() ? units_[at] & 0x7FFFFFFFu : 0x7FFFFFFFu;
        return value < replacements_.size() ? replacements_.data() + value : nullptr;
      }
    }
    return nullptr;
  }

  std::vector<uint32_t> units_;
  std::string replacements_;  // each ends with a zero byte
};

}  // namespace

std::unique_ptr<const Normalizer> make_precompiled_normalizer(const Node& map) {
  return std::make_unique<Precompiled>(map);
}

}  // namespace penstock::text
