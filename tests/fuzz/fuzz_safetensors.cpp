// Safetensors headers and the index. Input: 4 bytes, then a JSON text. The bytes say how much data follows the header;
// with the top bit set, they and the text are a whole file instead.
#include <algorithm>
#include <cstring>
#include <map>

#include "engine/model/safetensors_file.h"
#include "engine/model/safetensors_index.h"
#include "kernels/error.h"
#include "tests/fuzz/invariant.h"

using namespace penstock;
using fuzz::require;

namespace {

void check_header(const SafetensorsHeader& header, uint64_t file_bytes) {
  uint64_t at = header.data_offset;
  std::map<std::string, int> names;
  for (const TensorInfo& tensor : header.tensors) {
    require(tensor.offset == at, "tensors follow each other without hole or overlap");
    require(tensor.bytes <= file_bytes - at, "a tensor ends inside the file");
    at += tensor.bytes;
    require(!tensor.name.empty() && tensor.name.size() <= 1024 && names[tensor.name]++ == 0,
            "names are plain, and one each");
    require(tensor.shape.size() <= 8, "the rank is at most 8");
    unsigned __int128 elements = 1;
    for (int64_t size : tensor.shape) {
      require(size >= 0, "sizes are not negative");
      elements *= static_cast<uint64_t>(size);
      if (elements > file_bytes * 8) elements = file_bytes * 8 + 1;  // 0 of them may still come
    }
    require(elements * 4 <= static_cast<unsigned __int128>(tensor.bytes) * 8, "the elements, of 4 bits at least, fit");
  }
  require(at == file_bytes, "the tensors fill the file");
}

void read_header(std::string_view file, uint64_t file_bytes) {
  try {
    const uint64_t bytes = safetensors_header_bytes(file.substr(0, 64), file_bytes, "file");
    require(bytes <= file_bytes, "the header ends inside the file");
    check_header(parse_safetensors_header(file, file_bytes, "file"), file_bytes);
  } catch (const Error& error) {
    require(error.code() == ExitCode::bad_model, "a bad file is bad_model");
    require(std::string_view(error.what()).starts_with("file: "), "the message names the file");
  }
}

void read_index(std::string_view text) {
  try {
    const SafetensorsIndex index = parse_safetensors_index(text, "index");
    require(std::is_sorted(index.shards.begin(), index.shards.end()), "shards ascend");
    for (size_t i = 0; i < index.entries.size(); ++i) {
      require(index.entries[i].shard >= 0 && index.entries[i].shard < static_cast<int>(index.shards.size()),
              "a shard of the list");
      require(i == 0 || index.entries[i - 1].tensor < index.entries[i].tensor, "tensors ascend");
    }
  } catch (const Error& error) {
    require(error.code() == ExitCode::bad_model, "a bad index is bad_model");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input = fuzz::text_of(data, size);
  if (size < 4) return read_header(input, size), 0;
  uint32_t data_bytes = 0;
  std::memcpy(&data_bytes, data, 4);
  if (data_bytes >> 31) return read_header(input, size), 0;
  const std::string_view text = input.substr(4);
  std::string file(8, '\0');
  const uint64_t header_bytes = text.size();
  std::memcpy(file.data(), &header_bytes, 8);
  file += text;
  read_header(file, file.size() + data_bytes);
  read_index(text);
  return 0;
}
