// The header of one safetensors file: 8 bytes of length, then JSON that must describe every byte behind it.
#include <algorithm>
#include <array>
#include <cstdint>

#include "engine/json.h"
#include "engine/model/folder_file.h"
#include "engine/model/safetensors_file.h"

namespace penstock {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit
constexpr size_t kMaxEntries = 1 << 20;            // tensors, and metadata entries; bounds the memory of a hostile file
constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxRank = 8;

struct FileDtype {
  const char* name;
  uint64_t bits;
};
constexpr std::array<FileDtype, 22> kFileDtypes = {{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6},     {"F6_E3M2", 6},     {"U8", 8},      {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E8M0", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},       {"I32", 32},        {"U32", 32},    {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},        {"U64", 64},
}};

// Collects the entries and refuses every value that is not where the format wants it, as soon as it comes.
class HeaderReader final : public JsonVisitor {
 public:
  struct Entry {
    TensorInfo info;
    std::array<uint64_t, 2> range = {};  // data_offsets: [begin, end)
    int range_size = 0;                  // numbers seen so far
    bool has_dtype = false, has_shape = false, has_range = false;
  };

  explicit HeaderReader(const std::string& path) : path_(path) {}

  std::vector<Entry> entries;

  void begin(char bracket) override {
    switch (level_) {
      case Level::outside:
        if (bracket != '{') refuse("header: is not an object");
        level_ = Level::header;
        return;
      case Level::header:
        if (bracket != '{') refuse(where() + ": is not an object");
        level_ = in_metadata_ ? Level::metadata : Level::tensor;
        return;
      case Level::tensor:
        if (bracket != '[' || field_ == Field::dtype) refuse_type();
        level_ = Level::list;
        return;
      case Level::metadata:
      case Level::list:
        refuse_type();
    }
  }

  void end() override {
    switch (level_) {
      case Level::list:
        level_ = Level::tensor;
        return;
      case Level::tensor:
        finish_tensor();
        [[fallthrough]];
      case Level::metadata:
        level_ = Level::header;
        return;
      default:
        level_ = Level::outside;
    }
  }

  void key(const std::string& name) override {
    if (level_ == Level::header) {
      begin_entry(name);
    } else if (level_ == Level::metadata) {
      metadata_key_ = name;
      if (++metadata_entries_ > kMaxEntries) refuse("__metadata__: has more than 1048576 entries");
    } else {
      begin_field(name);
    }
  }

  void value(const Json& scalar) override {
    if (level_ == Level::outside) refuse("header: is not an object");
    if (level_ == Level::header) refuse(where() + ": is not an object");
    if (level_ == Level::metadata && !scalar.is_string()) refuse_type();
    if (level_ == Level::tensor) {
      if (field_ != Field::dtype || !scalar.is_string()) refuse_type();
      entries.back().info.dtype_name = scalar.get_ref<const std::string&>();
    }
    if (level_ == Level::list) push(scalar);
  }

 private:
  enum class Level { outside, header, metadata, tensor, list };
  enum class Field { dtype, shape, range };

  [[noreturn]] void refuse(const std::string& what) const { throw Error(ExitCode::bad_model, path_ + ": " + what); }
  std::string where() const { return in_metadata_ ? "__metadata__" : "tensor " + quote(entries.back().info.name); }
  [[noreturn]] void refuse_type() const {
    if (in_metadata_) refuse("__metadata__: " + quote(metadata_key_) + " is not a string");
    switch (field_) {
      case Field::dtype:
        refuse(where() + ": dtype: is not a string");
      case Field::shape:
        refuse(where() + ": shape: is not a list of integers from 0");
      case Field::range:
        break;
    }
    refuse(where() + ": data_offsets: is not a list of two integers from 0");
  }

  void begin_entry(const std::string& name) {
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) return;
    if (name.empty()) refuse("header: a tensor's name is empty");
    if (name.find('\0') != name.npos) refuse("tensor " + quote(name) + ": its name holds NUL");
    if (name.size() > kMaxNameBytes) refuse("tensor " + quote(name) + ": its name has more than 1024 bytes");
    if (entries.size() == kMaxEntries) refuse("header: has more than 1048576 tensors");
    entries.emplace_back().info.name = name;
  }

  void begin_field(const std::string& name) {
    Entry& entry = entries.back();
    if (name == "dtype") {
      field_ = Field::dtype;
      entry.has_dtype = true;
    } else if (name == "shape") {
      field_ = Field::shape;
      entry.has_shape = true;
    } else if (name == "data_offsets") {
      field_ = Field::range;
      entry.has_range = true;
    } else {
      refuse(where() + ": unknown field " + quote(name));
    }
  }

  void push(const Json& number) {
    Entry& entry = entries.back();
    if (!number.is_number_unsigned()) refuse_type();
    uint64_t value = number.get<uint64_t>();
    if (field_ == Field::range) {
      if (entry.range_size == 2) refuse_type();
      entry.range[entry.range_size++] = value;
      return;
    }
    if (entry.info.shape.size() == kMaxRank) refuse(where() + ": shape: has more than 8 dimensions");
    if (value > INT64_MAX) refuse(where() + ": shape: " + std::to_string(value) + " is too large");
    entry.info.shape.push_back(static_cast<int64_t>(value));
  }

  void finish_tensor() const {
    const Entry& entry = entries.back();
    if (!entry.has_dtype) refuse(where() + ": dtype: is missing");
    if (!entry.has_shape) refuse(where() + ": shape: is missing");
    if (!entry.has_range) refuse(where() + ": data_offsets: is missing");
    if (entry.range_size != 2) refuse_type();
  }

  const std::string& path_;
  Level level_ = Level::outside;
  Field field_ = Field::dtype;
  bool in_metadata_ = false;
  std::string metadata_key_;
  size_t metadata_entries_ = 0;
};

// shape x dtype in bytes. Dimensions of 0 do not excuse a product of the others that overflows: whoever multiplies them
// in another order would wrap.
uint64_t tensor_bytes(const TensorInfo& tensor, const std::string& where) {
  auto dtype = std::find_if(kFileDtypes.begin(), kFileDtypes.end(),
                            [&](const FileDtype& d) { return tensor.dtype_name == d.name; });
  if (dtype == kFileDtypes.end())
    throw Error(ExitCode::bad_model, where + "dtype: unknown: " + quote(tensor.dtype_name));
  uint64_t bits = dtype->bits;
  bool empty = false;
  for (int64_t size : tensor.shape) {
    if (size == 0) empty = true;
    if (size != 0 && __builtin_mul_overflow(bits, static_cast<uint64_t>(size), &bits))
      throw Error(ExitCode::bad_model, where + "shape: its size overflows 64 bits");
  }
  if (empty) return 0;
  if (bits % 8 != 0) throw Error(ExitCode::bad_model, where + "shape: does not fill whole bytes");
  return bits / 8;
}

// The tensors, sorted by offset, must cover the byte buffer without holes or overlaps.
void check_coverage(const std::vector<HeaderReader::Entry>& entries, uint64_t buffer_bytes, const std::string& path) {
  uint64_t covered = 0;
  for (const auto& entry : entries) {
    std::string where = path + ": tensor " + quote(entry.info.name) + ": ";
    auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_model, where + "data_offsets: " + what); };
    uint64_t begin = entry.range[0], end = entry.range[1];
    std::string range = "[" + std::to_string(begin) + ", " + std::to_string(end) + "]";
    if (begin > end) refuse(range + " end before they begin");
    uint64_t wanted = tensor_bytes(entry.info, where);
    if (end - begin != wanted)
      refuse(range + " hold " + std::to_string(end - begin) + " bytes; shape and dtype need " + std::to_string(wanted));
    if (end > buffer_bytes)
      refuse(range + " pass the end of the file, which holds " + std::to_string(buffer_bytes) +
             " bytes of data (truncated?)");
    if (begin < covered) refuse(range + " overlap the tensor before, which ends at " + std::to_string(covered));
    if (begin > covered) refuse(range + " leave a hole after byte " + std::to_string(covered));
    covered = end;
  }
  if (covered != buffer_bytes)
    throw Error(ExitCode::bad_model,
                path + ": " + std::to_string(buffer_bytes - covered) + " bytes behind the last tensor belong to none");
}

}  // namespace

uint64_t safetensors_header_bytes(std::string_view first_bytes, uint64_t file_bytes, const std::string& path) {
  auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_model, path + ": " + what); };
  if (auto what = foreign_format(first_bytes)) refuse("is " + *what);
  if (file_bytes < 8) refuse("has " + std::to_string(file_bytes) + " bytes; a safetensors file has at least 10");
  if (first_bytes.size() < 8) throw Error(ExitCode::internal, path + ": fewer than 8 bytes were read");
  uint64_t size = 0;
  for (int i = 0; i < 8; ++i) size |= static_cast<uint64_t>(static_cast<unsigned char>(first_bytes[i])) << (8 * i);
  std::string length = "header length: " + std::to_string(size);
  if (size < 2) refuse(length + " is too small for any JSON object");
  if (size > kMaxHeaderBytes) refuse(length + " is over the format's limit of 100000000 (not a safetensors file?)");
  if (size > file_bytes - 8) refuse(length + " passes the end of the file (truncated?)");
  return 8 + size;
}

SafetensorsHeader parse_safetensors_header(std::string_view head, uint64_t file_bytes, const std::string& path) {
  SafetensorsHeader header;
  header.data_offset = safetensors_header_bytes(head, file_bytes, path);
  if (head.size() < header.data_offset) throw Error(ExitCode::internal, path + ": header was not read whole");

  HeaderReader reader(path);
  try {
    scan_json(head.substr(8, header.data_offset - 8), reader);
  } catch (const JsonError& e) {
    throw Error(ExitCode::bad_model,
                path + ": header: " + e.what() + " (byte " + std::to_string(e.byte_offset) + " of the header)");
  }
  auto& entries = reader.entries;
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.range < b.range; });
  check_coverage(entries, file_bytes - header.data_offset, path);

  header.tensors.reserve(entries.size());
  for (auto& entry : entries) {
    entry.info.offset = header.data_offset + entry.range[0];
    entry.info.bytes = entry.range[1] - entry.range[0];
    header.tensors.push_back(std::move(entry.info));
  }
  return header;
}

DType weight_dtype(const TensorInfo& tensor, const std::string& place) {
  if (tensor.dtype_name == "F32") return DType::f32;
  if (tensor.dtype_name == "F16") return DType::f16;
  if (tensor.dtype_name == "BF16") return DType::bf16;
  throw Error(ExitCode::bad_model, place + ": dtype: " + quote(tensor.dtype_name) +
                                       " is not supported for weights (F32, F16 and BF16 are)");
}

}  // namespace penstock
