// What every fuzz target shares: a broken promise ends the process, with the input kept by libFuzzer.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace penstock::fuzz {

inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The parts of an input around its first NUL, a byte that no file or text here has a use for.
inline std::pair<std::string_view, std::string_view> halves(std::string_view input) {
  const size_t nul = input.find('\0');
  if (nul == input.npos) return {input, {}};
  return {input.substr(0, nul), input.substr(nul + 1)};
}

}  // namespace penstock::fuzz
