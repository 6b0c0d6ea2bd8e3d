// Builds safetensors files byte by byte, right ones and wrong ones.
#pragma once
#include <cstdint>
#include <string>

namespace penstock::test {

inline std::string length_prefix(uint64_t size) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(size >> (8 * i));
  return bytes;
}

// The length, the header, and `data_bytes` bytes that count up from 0.
inline std::string safetensors(const std::string& header, uint64_t data_bytes = 0) {
  std::string file = length_prefix(header.size()) + header;
  for (uint64_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

inline std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, uint64_t begin,
                         uint64_t end) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

}  // namespace penstock::test
