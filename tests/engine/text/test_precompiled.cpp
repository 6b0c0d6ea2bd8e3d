// SentencePiece's character map, on one built by hand.
#include <cstring>
#include <vector>

#include "engine/text/normalizer.h"
#include "tests/support/catch.h"

namespace penstock::text {
namespace {

std::string base64(const std::string& bytes) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) bits = bits << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j) text += j <= count ? kAlphabet[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

// A unit: label in bits 0 to 7, "a key ends here" in bit 8, offset in bits 10 and up. From the root, at offset 256, 'A'
// leads to unit 256 ^ 'A', whose offset 1 leads to the key's value; likewise 'B'.
std::string small_map() {
  std::vector<uint32_t> units(512);
  units[0] = 256 << 10;
  units[256 ^ 'A'] = 'A' | 1 << 8 | 1 << 10;
  units[256 ^ 'A' ^ 1] = 0;  // "alpha"
  units[256 ^ 'F'] = 'F' | 1 << 8 | 1 << 10;
  units[256 ^ 'F' ^ 1] = 6;  // ""
  const auto size = static_cast<uint32_t>(units.size() * 4);
  std::string bytes(4 + size, '\0');
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, units.data(), size);
  return bytes + std::string("alpha\0\0", 7);
}

TEST_CASE("a character map replaces characters, or whole clusters that begin with one") {
  const Json json = {{"type", "Precompiled"}, {"precompiled_charsmap", base64(small_map())}};
  const auto normalizer = read_normalizer(Node(json, "t"));
  CHECK(normalizer->normalized("") == "");
  CHECK(normalizer->normalized("xAyF.A") == "xalphay.alpha");
  CHECK(normalizer->normalized("A\u0301z") == "alphaz");                                // 3 bytes: looked up as one
  CHECK(normalizer->normalized("A\u0301\u0302\u0303z") == "alpha\u0301\u0302\u0303z");  // 7 bytes: one by one
  CHECK(normalizer->normalized(std::string("\0B", 2)) == std::string("\0B", 2));
}

}  // namespace
}  // namespace penstock::text
