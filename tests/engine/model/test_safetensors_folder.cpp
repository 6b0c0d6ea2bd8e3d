#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/json.h"
#include "engine/model/model_folder.h"
#include "engine/model/safetensors_file.h"
#include "tests/engine/model/safetensors_bytes.h"
#include "tests/engine/model/temp_folder.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

using namespace std::string_literals;
using test::entry;
using test::safetensors;
using test::TempFolder;

constexpr const char* kIndex = "model.safetensors.index.json";

std::string shard(const std::string& tensor) { return safetensors("{" + entry(tensor, "U8", "[4]", 0, 4) + "}", 4); }
std::string index(const std::string& weight_map) {
  return R"({"metadata":{"total_size":8},"weight_map":)" + weight_map + "}";
}

// Runs `action` and compares the exit code and a part of the message.
template <class Action>
void check_refused(ExitCode code, const std::string& message, Action action) {
  try {
    action();
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK(e.code() == code);
    CHECK_THAT(e.what(), ContainsSubstring(message));
  }
}
void check_folder(const TempFolder& folder, ExitCode code, const std::string& message) {
  check_refused(code, message, [&] { SafetensorsFolder files(folder.path()); });
}

TEST_CASE("A single file and shards are read") {
  TempFolder folder;
  SECTION("single") {
    folder.write(
        "model.safetensors",
        safetensors("{" + entry("b", "F32", "[1]", 0, 4) + "," + entry("a", "BF16", "[2,3]", 4, 16) + "}", 16));
    SafetensorsFolder files(folder.path());
    REQUIRE(files.tensors().size() == 2);
    CHECK(files.tensors()[0].name == "a");
    CHECK(files.find("c") == nullptr);
    CHECK(files.find("") == nullptr);
    const TensorInfo* a = files.find("a");
    REQUIRE(a);
    CHECK(a->shape == std::vector<int64_t>{2, 3});
    std::string bytes(5, '?');
    files.read(*a, 3, 5, bytes.data());
    CHECK(bytes == "\x07\x08\x09\x0A\x0B");
    check_refused(ExitCode::internal, "read past its end", [&] { files.read(*a, 8, 5, bytes.data()); });
    check_refused(ExitCode::internal, "read past its end", [&] { files.read(*a, UINT64_MAX, 2, bytes.data()); });
    REQUIRE(files.files().size() == 1);
    CHECK(files.files()[0].path == folder.path("model.safetensors"));
    CHECK(files.files()[0].header.size() + 16 == files.files()[0].bytes);
  }
  SECTION("shards, one in a sub-folder, one behind a link inside the folder, a total_size that does not add up") {
    folder.write("one.safetensors", shard("a"));
    folder.write("sub/two.safetensors", shard("b"));
    folder.write("data", shard("c"));
    folder.link("data", "three.safetensors");
    folder.write(kIndex, R"({"weight_map":{"c":"three.safetensors","b":"sub/two.safetensors","a":"one.safetensors"},
                             "metadata":{"total_size":99999,"other":[{"x":1.5}]},"more":null})");
    SafetensorsFolder files(folder.path() + "/");
    REQUIRE(files.tensors().size() == 3);
    CHECK(files.files().size() == 3);
    for (const char* name : {"a", "b", "c"}) {
      std::string bytes(4, '?');
      files.read(*files.find(name), 0, 4, bytes.data());
      CHECK(bytes == "\0\1\2\3"s);
    }
    CHECK(files.files()[files.find("b")->file].path == folder.path("sub/two.safetensors"));
  }
  SECTION("a header over 16 MiB is not kept") {
    folder.write("model.safetensors", safetensors("{}" + std::string(17 << 20, ' ')));
    CHECK(SafetensorsFolder(folder.path()).files()[0].header.empty());
  }
}

TEST_CASE("The index and its shards must agree") {
  TempFolder folder;
  folder.write("1.safetensors", shard("a"));
  folder.write("2.safetensors", shard("b"));
  auto check = [&](const std::string& text, const std::string& message) {
    CAPTURE(text.substr(0, 200));
    folder.write(kIndex, text);
    check_folder(folder, ExitCode::bad_model, message);
  };
  auto map = [&](const std::string& value) { return index(R"({"a":)" + value + "}"); };
  check(map(R"("../../x")"), R"(file name "../../x" leaves the folder)");      // X01
  check(map(R"("/etc/passwd")"), R"(file name "/etc/passwd" is absolute)");    // X02
  check(map(R"("a/../../b")"), R"(file name "a/../../b" leaves the folder)");  // X03
  check(map(R"("./1.safetensors")"), "is not a plain relative path");
  check(map(R"("sub//1.safetensors")"), "is not a plain relative path");
  check(map(R"("")"), "file name \"\" is empty");
  check(map("\"" + std::string(5000, 'x') + "\""), "is too long");
  check(map(R"("3.safetensors")"), "3.safetensors: is missing");  // X05
  check(map(R"("1.safetensors/x")"), "1.safetensors/x: is missing");
  check(index(R"({"a":"1.safetensors","z":"1.safetensors"})"), R"(tensor "z" is not in "1.safetensors")");  // X06
  check(index(R"({"b":"1.safetensors"})"), R"(1.safetensors: tensor "a": is not listed)");                  // X07
  check(index(R"({"a":"2.safetensors","b":"1.safetensors"})"), R"(1.safetensors: tensor "a": is here, but)");
  check(map("1"), R"(weight_map: "a": is not a string)");  // X09
  check(map("null"), R"(weight_map: "a": is not a string)");
  check(map("[\"1.safetensors\"]"), R"(weight_map: "a": is not a string)");
  check(index(R"({"a":"1.safetensors","\u0061":"2.safetensors"})"), "duplicate key \"a\"");
  for (const char* size : {"-1", "1.5", "\"8\"", "{}", "null", "18446744073709551616"})  // X10
    check(R"({"metadata":{"total_size":)"s + size + R"(},"weight_map":{"a":"1.safetensors"}})",
          "metadata.total_size: ");
  check(map(R"("1.safe\u0000tensors")"), "holds a control character");  // X13
  check("[]", "is not an object");
  check("{}", "weight_map: is missing or empty");
  check(index("{}"), "weight_map: is missing or empty");
  check(index("[]"), "weight_map: is not an object");
  check(index("1"), "weight_map: is not an object");
  check("", "is empty");
  check("{", "index.json: syntax error");
  check("version https://git-lfs.github.com/spec/v1\n", "is a Git-LFS pointer");
  std::string many;  // X12
  for (int i = 0; i < 1'000'000; ++i)
    many += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"" + std::to_string(i) + "\"";
  check(index("{" + many + "}"), "names more than 1000 files");
  check(R"({"x":)" + std::string(100'000, '['), "nested deeper");

  SECTION("X08 a tensor in two shards") {
    folder.write("2.safetensors",
                 safetensors("{" + entry("a", "U8", "[2]", 0, 2) + "," + entry("b", "U8", "[2]", 2, 4) + "}", 4));
    check(index(R"({"a":"1.safetensors","b":"2.safetensors"})"), R"(2.safetensors: tensor "a": is here, but)");
  }
  SECTION("X08 one file under two names") {
    folder.link("1.safetensors", "copy.safetensors");
    check(index(R"({"a":"1.safetensors","b":"copy.safetensors"})"), R"(copy.safetensors: tensor "a": is here, but)");
  }
  SECTION("X11 both a single file and an index") {
    folder.write("model.safetensors", shard("a"));
    check(map(R"("1.safetensors")"), "holds both");
  }
  SECTION("X14 an index over the cap, without reading it") {
    folder.write(kIndex, "{");
    REQUIRE(truncate(folder.path(kIndex).c_str(), (256 << 20) + 1) == 0);
    check_folder(folder, ExitCode::bad_model, "at most 268435456");
  }
  SECTION("X14 an index of 200 MB") {
    std::string big = R"({"metadata":{)";
    for (int i = 0; big.size() < 200'000'000; ++i) big += "\"" + std::to_string(i) + "\":\"\",";
    check(big, "has more than 1048576 keys");
  }
}

TEST_CASE("S04, S05 a header length beyond the file is refused before anything of that size is allocated") {
  TempFolder folder;
  for (uint64_t size : {uint64_t{1} << 40, UINT64_MAX, UINT64_MAX - 7, uint64_t{100'000'001}, uint64_t{99'999'999}}) {
    folder.write("model.safetensors", test::length_prefix(size) + "{}");
    check_folder(folder, ExitCode::bad_model, "header length: " + std::to_string(size));
  }
}

TEST_CASE("What is missing is exit code 66, by name") {
  TempFolder folder;
  check_folder(folder, ExitCode::not_found, "has neither model.safetensors nor model.safetensors.index.json");
  folder.write("file", "x");
  check_refused(ExitCode::not_found, "no such model folder", [&] { SafetensorsFolder files(folder.path("nowhere")); });
  check_refused(ExitCode::not_found, "is not a folder", [&] { SafetensorsFolder files(folder.path("file")); });
  check_refused(ExitCode::not_found, "", [&] { SafetensorsFolder files(""); });
}

TEST_CASE("S59 only regular files are opened, and nothing blocks") {
  TempFolder folder;
  std::string path = folder.path("model.safetensors");
  SECTION("FIFO") {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    check_folder(folder, ExitCode::bad_model, "model.safetensors: is a FIFO");
  }
  SECTION("directory") {
    folder.write("model.safetensors/x", "");
    check_folder(folder, ExitCode::bad_model, "model.safetensors: is a directory");
  }
  SECTION("socket") {
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof(address.sun_path));
    path.copy(address.sun_path, path.size());
    REQUIRE(bind(s, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    close(s);
    check_folder(folder, ExitCode::bad_model, "model.safetensors: is a socket");
  }
  SECTION("device, through a link") {
    folder.link("/dev/zero", "model.safetensors");
    check_folder(folder, ExitCode::bad_model, "leaves the model folder (to \"/dev/zero\")");
  }
}

TEST_CASE("S60, X04 links may not leave the model folder") {
  TempFolder outside, folder;
  outside.write("model.safetensors", shard("a"));
  outside.write("sub/model.safetensors", shard("a"));
  SECTION("a file") { folder.link(outside.path("model.safetensors"), "model.safetensors"); }
  SECTION("in two steps") {
    folder.link("hop", "model.safetensors");
    folder.link(outside.path("model.safetensors"), "hop");
  }
  SECTION("a shard") {
    folder.link(outside.path("model.safetensors"), "1.safetensors");
    folder.write(kIndex, index(R"({"a":"1.safetensors"})"));
  }
  SECTION("a directory on the way") {
    folder.link(outside.path("sub"), "dir");
    folder.write(kIndex, index(R"({"a":"dir/model.safetensors"})"));
  }
  SECTION("the parent's other child whose name begins alike") {
    outside.write("m/x", "");
    outside.write("m2/model.safetensors", shard("a"));
    outside.link("../m2/model.safetensors", "m/model.safetensors");
    check_refused(ExitCode::bad_model, "leaves the model folder", [&] { SafetensorsFolder files(outside.path("m")); });
    return;
  }
  check_folder(folder, ExitCode::bad_model, "leaves the model folder");
}

TEST_CASE("Links to nothing and in a circle are errors, not absent files") {
  TempFolder folder;
  folder.link("nowhere", "model.safetensors");
  check_folder(folder, ExitCode::bad_model, "is a link to something that does not exist");
  std::filesystem::remove(folder.path("model.safetensors"));
  folder.link("model.safetensors", "model.safetensors");
  check_folder(folder, ExitCode::bad_model, "model.safetensors: ");
}

TEST_CASE("A Hugging Face cache's links into its own blobs are followed, others are not") {
  TempFolder hub;
  hub.write("models--x--y/blobs/0123", shard("a"));
  hub.write("models--x--z/blobs/0123", shard("a"));
  hub.write("models--x--y/refs/main", "rev");
  std::string link = "models--x--y/snapshots/rev/model.safetensors", folder = hub.path("models--x--y/snapshots/rev");
  SECTION("own blob, and the folder itself may be behind a link") {
    hub.link("../../blobs/0123", link);
    CHECK(SafetensorsFolder(folder).find("a"));
    hub.link(folder, "elsewhere/model");
    CHECK(SafetensorsFolder(hub.path("elsewhere/model")).find("a"));
  }
  SECTION("another model's blob") {
    hub.link("../../../models--x--z/blobs/0123", link);
    check_refused(ExitCode::bad_model, "leaves the model folder", [&] { SafetensorsFolder files(folder); });
  }
  SECTION("own model, but no blob") {
    hub.link("../../refs/main", link);
    check_refused(ExitCode::bad_model, "leaves the model folder", [&] { SafetensorsFolder files(folder); });
  }
}

TEST_CASE("S58 a file that shrinks after it was opened is a read error") {
  TempFolder folder;
  folder.write("model.safetensors", shard("a"));
  SafetensorsFolder files(folder.path());
  REQUIRE(truncate(folder.path("model.safetensors").c_str(), static_cast<off_t>(files.files()[0].bytes - 2)) == 0);
  std::string bytes(4, '?');
  files.read(*files.find("a"), 0, 2, bytes.data());
  check_refused(ExitCode::io, "model.safetensors: ends at byte",
                [&] { files.read(*files.find("a"), 0, 4, bytes.data()); });
}

TEST_CASE("The small files of a model folder") {
  TempFolder folder;
  auto check = [&](ExitCode code, const std::string& message) {
    check_refused(code, message, [&] { read_model_folder(folder.path()); });
  };
  check_refused(ExitCode::not_found, "no such model folder", [&] { read_model_folder(folder.path("nowhere")); });
  check(ExitCode::not_found, "has no config.json");
  folder.write("config.json", "{}");
  check(ExitCode::not_found, "has no tokenizer.json");
  CHECK(read_model_folder(folder.path(), ModelFiles::shape).config == "{}");
  folder.write("tokenizer.json", "{\"t\":1}");
  ModelFolder files = read_model_folder(folder.path());
  CHECK(files.path == folder.path());
  CHECK(files.tokenizer == "{\"t\":1}");
  CHECK(files.generation_config.empty());
  CHECK(files.tokenizer_config.empty());
  CHECK(files.chat_template_jinja.empty());
  folder.write("generation_config.json", "{\"g\":1}");
  folder.write("tokenizer_config.json", "{\"c\":1}");
  folder.write("chat_template.jinja", "{{ x }}");
  files = read_model_folder(folder.path());
  CHECK(files.generation_config == "{\"g\":1}");
  CHECK(files.tokenizer_config == "{\"c\":1}");
  CHECK(files.chat_template_jinja == "{{ x }}");

  SECTION("empty") {
    folder.write("generation_config.json", "");
    check(ExitCode::bad_model, "generation_config.json: is empty");
  }
  SECTION("Git-LFS pointer") {
    folder.write("tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    check(ExitCode::bad_model, "tokenizer.json: is a Git-LFS pointer");
  }
  SECTION("too large, without reading it") {
    REQUIRE(truncate(folder.path("config.json").c_str(), (16 << 20) + 1) == 0);
    check(ExitCode::bad_model, "config.json: has 16777217 bytes");
  }
  SECTION("tokenizer of 500 MB") {
    REQUIRE(truncate(folder.path("tokenizer.json").c_str(), 500 << 20) == 0);
    check(ExitCode::bad_model, "tokenizer.json: has 524288000 bytes");
  }
  SECTION("a link out of the folder") {
    std::filesystem::remove(folder.path("tokenizer_config.json"));
    folder.link("/etc/passwd", "tokenizer_config.json");
    check(ExitCode::bad_model, "tokenizer_config.json: is a link that leaves");
  }
}

}  // namespace
}  // namespace penstock
