// The header parser against the cases S01 to S56 of the list of bad inputs. Files and folders: test_safetensors_folder.
#include <chrono>
#include <random>

#include "engine/model/safetensors_file.h"
#include "tests/engine/model/safetensors_bytes.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

using namespace std::string_literals;
using test::entry;
using test::length_prefix;
using test::safetensors;

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(file, file.size(), "m/x.safetensors");
}

// One tensor "a" whose fields are `fields`, with 16 bytes of data.
std::string fields(const std::string& text) { return safetensors(R"({"a":{)" + text + "}}", 16); }
std::string with_shape(const std::string& shape, uint64_t bytes = 16) {
  return safetensors("{" + entry("a", "F32", shape, 0, bytes) + "}", bytes);
}
std::string with_offsets(const std::string& offsets) {
  return fields(R"("dtype":"F32","shape":[4],"data_offsets":)" + offsets);
}
std::string two(uint64_t b1, uint64_t e1, uint64_t b2, uint64_t e2, uint64_t data_bytes) {
  auto shape = [](uint64_t size) { return "[" + std::to_string(size) + "]"; };
  return safetensors(
      "{" + entry("a", "U8", shape(e1 - b1), b1, e1) + "," + entry("b", "U8", shape(e2 - b2), b2, e2) + "}",
      data_bytes);
}

struct Row {
  const char* id;
  std::string file;
  const char* message;
};

std::vector<Row> refused() {
  const std::string a = entry("a", "F32", "[4]", 0, 16);
  const std::string arrays(100'000, '[');
  std::string rank_10000 = "[1";
  for (int i = 1; i < 10'000; ++i) rank_10000 += ",1";
  rank_10000 += "]";
  std::string long_name(1 << 20, 'n');
  return {
      {"S01", "", "has 0 bytes"},
      {"S02", "\2\0\0\0\0\0\0"s, "has 7 bytes"},
      {"S03", length_prefix(0), "header length: 0"},
      {"S03 n = 1", length_prefix(1) + "{", "header length: 1 is too small"},
      {"S04", length_prefix(3) + "{}", "header length: 3 passes the end"},
      {"S05", length_prefix(UINT64_MAX) + "{}", "header length: 18446744073709551615"},
      {"S06", length_prefix(UINT64_MAX - 7) + "{}", "header length: 18446744073709551608"},
      {"S07", length_prefix(100'000'001) + "{}", "header length: 100000001 is over the format's limit"},
      {"S08", safetensors("{\"\xFF\":1}"), "ill-formed UTF-8"},
      {"S09", safetensors("{" + a, 16), "header: syntax error"},
      {"S10", safetensors("{}x"), "header: syntax error"},
      {"S11", safetensors("{}{}"), "header: syntax error"},
      {"S12", safetensors("[]"), "header: is not an object"},
      {"S12 number", safetensors("12"), "header: is not an object"},
      {"S13", safetensors("\xEF\xBB\xBF{}"), "byte order mark"},
      {"S14", safetensors("{}\0\0"s), "NUL byte (byte 2 of the header)"},
      {"S16", two(0, 8, 0, 8, 8), "tensor \"b\": data_offsets: [0, 8] overlap"},
      {"S17", two(0, 8, 4, 12, 12), "tensor \"b\": data_offsets: [4, 12] overlap"},
      {"S18", two(0, 8, 12, 16, 16), "tensor \"b\": data_offsets: [12, 16] leave a hole after byte 8"},
      {"S19", safetensors("{" + entry("a", "U8", "[4]", 4, 8) + "}", 8), "data_offsets: [4, 8] leave a hole"},
      {"S20", safetensors("{" + a + "}", 17), "1 bytes behind the last tensor"},
      {"S20 empty", safetensors("{}", 1), "1 bytes behind the last tensor"},
      {"S21", safetensors("{" + a + "}", 15), "tensor \"a\": data_offsets: [0, 16] pass the end of the file"},
      {"S22", with_offsets("[16,0]"), "tensor \"a\": data_offsets: [16, 0] end before they begin"},
      {"S23", with_offsets("[-16,0]"), "tensor \"a\": data_offsets: is not a list of two integers"},
      {"S23 -0", with_offsets("[-0,16]"), "tensor \"a\": data_offsets: is not a list"},
      {"S24", with_offsets("[0.0,16]"), "tensor \"a\": data_offsets: is not a list"},
      {"S25", with_offsets("[0,1.6e1]"), "tensor \"a\": data_offsets: is not a list"},
      {"S26", with_offsets("[\"0\",16]"), "tensor \"a\": data_offsets: is not a list"},
      {"S27", with_offsets("[0,18446744073709551616]"), "tensor \"a\": data_offsets: is not a list"},
      {"S27 max", with_offsets("[0,18446744073709551615]"), "tensor \"a\": data_offsets: [0, 18446744073709551615]"},
      {"S28 three", with_offsets("[0,16,16]"), "tensor \"a\": data_offsets: is not a list"},
      {"S28 one", with_offsets("[0]"), "tensor \"a\": data_offsets: is not a list"},
      {"S28 none", with_offsets("[]"), "tensor \"a\": data_offsets: is not a list"},
      {"S28 nested", with_offsets("[0,[16]]"), "tensor \"a\": data_offsets: is not a list"},
      {"S28 object", with_offsets("{}"), "tensor \"a\": data_offsets: is not a list"},
      {"S28 number", with_offsets("16"), "tensor \"a\": data_offsets: is not a list"},
      {"S29", with_shape("[5]"), "tensor \"a\": data_offsets: [0, 16] hold 16 bytes; shape and dtype need 20"},
      {"S30", with_shape("[-4]"), "tensor \"a\": shape: is not a list of integers"},
      {"S30 float", with_shape("[4.0]"), "tensor \"a\": shape: is not a list of integers"},
      {"S31", with_shape("[4294967296,4294967296,4]"), "tensor \"a\": shape: its size overflows"},
      {"S31 dim", with_shape("[9223372036854775808]"), "tensor \"a\": shape: 9223372036854775808 is too large"},
      {"S32", with_shape("[4611686018427387908]"), "tensor \"a\": shape: its size overflows"},
      {"S33", with_shape("[0,9223372036854775807,4]", 0), "tensor \"a\": shape: its size overflows"},
      {"S35", with_shape(rank_10000, 4), "tensor \"a\": shape: has more than 8 dimensions"},
      {"S36", safetensors("{" + a + "," + entry("b", "F32", "[0]", 8, 8) + "}", 16),
       "tensor \"b\": data_offsets: [8, 8]"},
      {"S37", safetensors("{" + entry("a", "F33", "[4]", 0, 16) + "}", 16), "tensor \"a\": dtype: unknown: \"F33\""},
      {"S38", safetensors("{" + entry("a", "f32", "[4]", 0, 16) + "}", 16), "tensor \"a\": dtype: unknown: \"f32\""},
      {"S39 dtype", fields(R"("shape":[4],"data_offsets":[0,16])"), "tensor \"a\": dtype: is missing"},
      {"S39 shape", fields(R"("dtype":"F32","data_offsets":[0,16])"), "tensor \"a\": shape: is missing"},
      {"S39 offsets", fields(R"("dtype":"F32","shape":[4])"), "tensor \"a\": data_offsets: is missing"},
      {"S39 null", fields(R"("dtype":null,"shape":[4],"data_offsets":[0,16])"), "tensor \"a\": dtype: is not a string"},
      {"S39 list", fields(R"("dtype":["F32"],"shape":[4],"data_offsets":[0,16])"), "dtype: is not a string"},
      {"unknown field", fields(R"("strides":[1])"), "tensor \"a\": unknown field \"strides\""},
      {"S40", fields(R"("dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16])"), "duplicate key \"dtype\""},
      {"S41", safetensors("{" + a + "," + entry("a", "F32", "[4]", 16, 32) + "}", 32), "duplicate key \"a\""},
      {"S42", safetensors("{" + a + "," + a + "}", 16), "duplicate key \"a\""},
      {"S43", safetensors("{" + a + "," + entry("\\u0061", "F32", "[0]", 16, 16) + "}", 16), "duplicate key \"a\""},
      {"S44", safetensors(R"({"__metadata__":{},"__metadata__":{}})"), "duplicate key \"__metadata__\""},
      {"S44 inside", safetensors(R"({"__metadata__":{"k":"1","k":"1"}})"), "duplicate key \"k\""},
      {"S45 number", safetensors(R"({"__metadata__":{"k":1}})"), "__metadata__: \"k\" is not a string"},
      {"S45 nested", safetensors(R"({"__metadata__":{"k":{}}})"), "__metadata__: \"k\" is not a string"},
      {"S45 list", safetensors(R"({"__metadata__":[]})"), "__metadata__: is not an object"},
      {"S45 null", safetensors(R"({"__metadata__":null})"), "__metadata__: is not an object"},
      {"S46", safetensors("{" + entry("__metadata__", "F32", "[4]", 0, 16) + "}", 16), "__metadata__: \"shape\""},
      {"S47", safetensors(R"({"a":null})"), "tensor \"a\": is not an object"},
      {"S47 list", safetensors(R"({"a":[]})"), "tensor \"a\": is not an object"},
      {"S48", safetensors(R"({"a":)" + arrays), "tensor \"a\": is not an object"},
      {"S48 shape", safetensors(R"({"a":{"shape":)" + arrays), "tensor \"a\": shape: is not a list of integers"},
      {"S48 root", safetensors(arrays), "header: is not an object"},
      {"S49 NUL", safetensors("{" + entry("a\\u0000b", "F32", "[4]", 0, 16) + "}", 16), "its name holds NUL"},
      {"S49 raw NUL", safetensors("{" + entry("a\0b"s, "F32", "[4]", 0, 16) + "}", 16), "NUL byte"},
      {"S49 empty", safetensors("{" + entry("", "F32", "[4]", 0, 16) + "}", 16), "name is empty"},
      {"S49 1 MB", safetensors("{" + entry(long_name, "F32", "[4]", 0, 16) + "}", 16), "more than 1024 bytes"},
      {"S50", safetensors("{" + entry("\\ud800", "F32", "[4]", 0, 16) + "}", 16), "surrogate"},
      {"S51", safetensors("{" + entry("a", "F4", "[3]", 0, 2) + "}", 2),
       "tensor \"a\": shape: does not fill whole bytes"},
      {"S54", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git-LFS pointer"},
      {"S55", "<!DOCTYPE html><html></html>", "is an HTML page"},
      {"S55 b", "\n<HTML><body>404</body>", "is an HTML page"},
      {"S56", "PK\x03\x04"s + std::string(60, '\0'), "is a ZIP archive"},
      {"GGUF", "GGUF\3\0\0\0"s + std::string(60, '\0'), "is a GGUF file"},
  };
}

TEST_CASE("A safetensors header that is wrong is refused by file, tensor and field") {
  for (const Row& row : refused()) {
    CAPTURE(row.id);
    try {
      parse(row.file);
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::bad_model);
      CHECK_THAT(e.what(), ContainsSubstring(row.message));
      CHECK_THAT(e.what(), ContainsSubstring("m/x.safetensors: "));
      CHECK(std::string(e.what()).size() < 500);
    }
  }
}

TEST_CASE("A safetensors header that is right is accepted") {
  SECTION("no tensors") { CHECK(parse(safetensors("{}")).tensors.empty()); }
  SECTION("S15 spaces around") { CHECK(parse(safetensors("   {}   ")).data_offset == 16); }
  SECTION("S34 rank 0") {
    auto header = parse(safetensors("{" + entry("a", "F32", "[]", 0, 4) + "}", 4));
    CHECK(header.tensors.at(0).shape.empty());
    CHECK(header.tensors.at(0).bytes == 4);
  }
  SECTION("S36 zero dimension, before and after a tensor that begins there") {
    auto header = parse(safetensors("{" + entry("b", "F32", "[1]", 0, 4) + "," + entry("a", "F32", "[0,7]", 0, 0) +
                                        "," + entry("c", "F32", "[0]", 4, 4) + "}",
                                    4));
    REQUIRE(header.tensors.size() == 3);
    CHECK(header.tensors[0].name == "a");
    CHECK(header.tensors[1].name == "b");
    CHECK(header.tensors[2].offset == header.data_offset + 4);
  }
  SECTION("S51 even F4 count, S52 data at an odd address, metadata, rank 8") {
    auto file = safetensors(R"({"__metadata__":{"format":"pt","x":""},)" + entry("\\u0061", "F4", "[6]", 0, 3) + "," +
                                entry("m", "BF16", "[1,1,1,1,1,1,1,2]", 3, 7) + "}",
                            7);
    auto header = parse(file);
    REQUIRE(header.tensors.size() == 2);
    CHECK(header.tensors[0].name == "a");
    CHECK(header.tensors[0].dtype_name == "F4");
    CHECK(header.tensors[1].shape.size() == 8);
    CHECK(header.tensors[1].offset == file.size() - 4);
    CHECK(weight_dtype(header.tensors[1], "f: tensor b") == DType::bf16);
    try {
      weight_dtype(header.tensors[0], "f: tensor a");
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::bad_model);
      CHECK_THAT(e.what(), ContainsSubstring("f: tensor a: dtype: \"F4\""));
    }
  }
}

// What every header that the parser lets through must fulfil, computed without the parser's own arithmetic.
void check_consistency(const SafetensorsHeader& header, uint64_t file_bytes) {
  uint64_t at = header.data_offset;
  std::vector<std::string> names;
  for (const TensorInfo& tensor : header.tensors) {
    REQUIRE(tensor.offset == at);
    REQUIRE(tensor.bytes <= file_bytes - at);
    at += tensor.bytes;
    long double elements = 1;
    for (int64_t size : tensor.shape) elements *= static_cast<long double>(size);
    REQUIRE(elements * 64 >= static_cast<long double>(tensor.bytes) * 8);
    REQUIRE(elements * 4 <= static_cast<long double>(tensor.bytes) * 8);
    REQUIRE(tensor.shape.size() <= 8);
    names.push_back(tensor.name);
  }
  REQUIRE(at == file_bytes);
  std::sort(names.begin(), names.end());
  REQUIRE(std::adjacent_find(names.begin(), names.end()) == names.end());
}

TEST_CASE("Random damage to a safetensors file is either refused or leaves a consistent header") {
  const std::string valid =
      safetensors(R"({"__metadata__":{"format":"pt"},)" + entry("a", "F32", "[2,2]", 0, 16) + "," +
                      entry("b.c", "BF16", "[3]", 16, 22) + "," + entry("d", "F4", "[0]", 22, 22) + "}",
                  22);
  const std::string pieces =
      "{}[],:\"\\019-.eE \0\xFF\xEF"
      "aFnu"s;
  std::mt19937 random(20240611);
  auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  int accepted = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string file = valid;
    for (size_t edits = 1 + below(3); edits > 0 && !file.empty(); --edits) {
      size_t at = below(file.size());
      char piece = pieces[below(pieces.size())];
      switch (below(6)) {
        case 0:
          file[at] = piece;
          break;
        case 1:
          file[at] ^= static_cast<char>(1 << below(8));
          break;
        case 2:
          file.insert(at, 1, piece);
          break;
        case 3:
          file.erase(at, 1 + below(4));
          break;
        case 4:
          file.insert(at, file.substr(below(file.size()), below(80)));
          break;
        case 5:
          file.resize(at);
          break;
      }
    }
    // Half of the rounds keep a right length, so that the damage reaches the JSON.
    if (below(2) == 0 && file.size() > 30) file.replace(0, 8, length_prefix(file.size() - 8 - 22));
    CAPTURE(round, file);
    try {
      SafetensorsHeader header = parse(file);
      check_consistency(header, file.size());
      ++accepted;
    } catch (const Error& e) {
      REQUIRE(e.code() == ExitCode::bad_model);
      ++refused;
    }
  }
  CHECK(accepted > 100);
  CHECK(refused > 10'000);
}

TEST_CASE("S53 headers of the greatest size take seconds, not minutes", "[large]") {
  auto seconds_for = [](const std::string& header, const char* message) {
    std::string file = safetensors(header);
    auto start = std::chrono::steady_clock::now();
    try {
      parse(file);
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK_THAT(e.what(), ContainsSubstring(message));
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::string tensors = "{", metadata = R"({"__metadata__":{)";
  for (int i = 0; tensors.size() < 99'000'000; ++i)
    tensors += "\"" + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)";
  for (int i = 0; metadata.size() < 99'000'000; ++i) metadata += "\"" + std::to_string(i) + "\":\"\",";
  CHECK(seconds_for(tensors, "has more than 1048576 tensors") < 20);
  CHECK(seconds_for(metadata, "has more than 1048576 entries") < 20);
}

}  // namespace
}  // namespace penstock
