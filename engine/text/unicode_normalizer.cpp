// The four Unicode normalization forms (UAX 15).
#include <utf8proc.h>

#include <algorithm>
#include <new>

#include "engine/text/normalizer.h"
#include "engine/text/unicode.h"

namespace penstock::text {
namespace {

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// What Unicode gained after version 9 and normalization touches; between these, only characters that it does not. The
// tokenizers library has the tables of version 9: it leaves these as they are, where they are.
constexpr std::pair<char32_t, char32_t> kNewer[] = {
    {0x7FD, 0x7FD},     {0x898, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},     {0xD3B, 0xD3C},
    {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},
    {0xA7F2, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x107BA}, {0x10D24, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x11A99}, {0x11D42, 0x11F42},
    {0x16FF0, 0x16FF1}, {0x1E030, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

bool is_newer(char32_t code) {
  const auto* range = std::partition_point(std::begin(kNewer), std::end(kNewer),
                                           [code](const auto& candidate) { return candidate.second < code; });
  return range != std::end(kNewer) && range->first <= code;
}

class UnicodeNormalizer : public Normalizer {
 public:
  UnicodeNormalizer(bool compose, bool compatibility)
      : compose_(compose), options_(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0)) {}

  // An ASCII character never changes by what stands before it, so each is a border; only the stretch from the last
  // ASCII character before something else up to the next one needs work.
  void normalize(WorkingText& text) const override {
    std::string_view bytes = text.bytes;
    if (std::all_of(bytes.begin(), bytes.end(), is_ascii)) return;
    Rewrite rewrite(text);
    std::vector<utf8proc_int32_t> codes;
    std::string normal;
    for (size_t at = 0; at < bytes.size();) {
      size_t next = at;
      while (next < bytes.size() && is_ascii(bytes[next])) ++next;
      size_t begin = next == bytes.size() ? next : std::max(at, next - std::min<size_t>(next, 1));
      while (next < bytes.size() && !is_ascii(bytes[next])) ++next;
      rewrite.keep(begin - at);
      if (begin < next) {
        std::string_view run = bytes.substr(begin, next - begin);
        normalize_run(run, codes, normal);
        if (run == normal)
          rewrite.keep(run.size());
        else
          rewrite.replace(run.size(), normal);
      }
      at = next;
    }
    rewrite.commit();
  }

 private:
  // utf8proc_map sorts marks by exchanging neighbours, which takes quadratic time on hostile text.
  void normalize_run(std::string_view run, std::vector<utf8proc_int32_t>& codes, std::string& out) const {
    codes.clear();
    out.clear();
    for (size_t at = 0; at < run.size();) {
      Character c = first_character(run.data() + at);
      at += c.bytes;
      if (is_newer(c.code)) {
        order_and_compose(codes, out);
        append_utf8(c.code, out);
        continue;
      }
      utf8proc_int32_t parts[32];
      int last_bound_class = 0;
      auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code), parts, 32,
                                           static_cast<utf8proc_option_t>(options_), &last_bound_class);
      codes.insert(codes.end(), parts, parts + count);
    }
    order_and_compose(codes, out);
  }

  // Appends them to out, and empties codes.
  void order_and_compose(std::vector<utf8proc_int32_t>& codes, std::string& out) const {
    sort_marks(codes);
    auto length = static_cast<utf8proc_ssize_t>(codes.size());
    if (compose_)
      length = utf8proc_normalize_utf32(codes.data(), length,
                                        static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    for (utf8proc_ssize_t i = 0; i < length; ++i) append_utf8(static_cast<char32_t>(codes[i]), out);
    codes.clear();
  }

  static void sort_marks(std::vector<utf8proc_int32_t>& codes) {
    auto order = [](utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; };
    for (size_t begin = 0; begin < codes.size();) {
      size_t end = begin;
      while (end < codes.size() && order(codes[end]) != 0) ++end;
      std::stable_sort(codes.begin() + begin, codes.begin() + end, [&](auto a, auto b) { return order(a) < order(b); });
      begin = end + 1;
    }
  }

  bool compose_;
  int options_;
};

}  // namespace

std::unique_ptr<const Normalizer> make_unicode_normalizer(std::string_view form) {
  return std::make_unique<UnicodeNormalizer>(form.ends_with('C'), form.starts_with("NFK"));
}

}  // namespace penstock::text
