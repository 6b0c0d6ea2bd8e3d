#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "app/file_identity.h"
#include "app/fingerprint.h"
#include "app/journal.h"
#include "app/output_file.h"
#include "kernels/error.h"
#include "tests/support/catch.h"

using namespace penstock;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "penstock-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return (path / name).string(); }
};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

ExitCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::ok;
}

std::string record(const std::string& id, uint64_t hash, bool error = false) {
  return R"({"id":")" + id +
         (error ? R"(","error":{"code":"x"},"request_id":")" : R"(","text":"{\"id\"","request_id":")") +
         request_id_text({hash, 1}) + "\"}";
}

}  // namespace

TEST_CASE("opening keeps what is there, appending adds whole lines") {
  const Folder folder;
  write(folder.file("out"), "old\n");
  {
    OutputFile out(folder.file("out"));
    CHECK(out.is_journal());
    CHECK(content(folder.file("out")) == "old\n");
    out.append("new");
    out.sync();
  }
  CHECK(content(folder.file("out")) == "old\nnew\n");
}

TEST_CASE("a second opening fails while the first lives, also after a replacement") {
  const Folder folder;
  const std::string path = folder.file("out");
  {
    OutputFile out(path);
    CHECK(code_of([&] { OutputFile second(path); }) == ExitCode::cannot_create);
    out.append("a");
    out.replace([](int descriptor) { write_all(descriptor, "b\n", 2, {}); });
    CHECK(code_of([&] { OutputFile second(path); }) == ExitCode::cannot_create);
    out.append("c");
  }
  CHECK(content(path) == "b\nc\n");
  CHECK(code_of([&] { OutputFile second(path); }) == ExitCode::ok);
}

TEST_CASE("a replacement that fails leaves the old content and no litter") {
  const Folder folder;
  const std::string path = folder.file("out");
  OutputFile out(path);
  out.append("old");
  CHECK(code_of([&] { out.replace([](int) { throw Error(ExitCode::io, "disk full"); }); }) == ExitCode::io);
  CHECK(content(path) == "old\n");
  CHECK(std::distance(fs::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("sync notices what somebody else did to the file") {
  const Folder folder;
  const std::string path = folder.file("out");
  const std::function<void()> harms[] = {
      [&] { fs::remove(path); },
      [&] { fs::rename(path, folder.file("moved")); },
      [&] { fs::rename(path, folder.file("moved")), write(path, "record\n"); },
      [&] { fs::resize_file(path, 3); },
      [&] { std::ofstream(path, std::ios::app) << "more"; },
  };
  for (const auto& harm : harms) {
    fs::remove(path);
    OutputFile out(path);
    out.append("record");
    CHECK(code_of([&] { out.sync(); }) == ExitCode::ok);
    harm();
    CHECK(code_of([&] { out.sync(); }) == ExitCode::io);
  }
}

TEST_CASE("a write to a pipe that nobody reads gives up when told to, and only then") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const std::string much(1 << 20, 'x');
  int asked = 0;
  CHECK(write_all(ends[1], much.data(), much.size(), [&] { return ++asked == 2; }) == ECANCELED);
  CHECK(asked == 2);
  ::close(ends[0]);
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  CHECK(write_all(ends[1], much.data(), much.size(), {}) == EPIPE);
  std::signal(SIGPIPE, before);
  ::close(ends[1]);
}

TEST_CASE("different hashes say what differs") {
  const Hash128 one = line_hash({1, 2}, "request", "a");
  CHECK(one == line_hash({1, 2}, "request", "a"));
  CHECK(std::string(what_differs(one, line_hash({3, 2}, "request", "a"))) == "another model");
  CHECK(std::string(what_differs(one, line_hash({1, 3}, "request", "a"))).starts_with("other settings"));
  CHECK(std::string(what_differs(one, line_hash({1, 2}, "request", "b"))) == "another request");
  CHECK_FALSE(one == line_hash({1, 2}, "refused", "a"));
}

TEST_CASE("identities see through links and tell absent files by path") {
  const Folder folder;
  write(folder.file("a"), "");
  write(folder.file("b"), "");
  fs::create_symlink("a", folder.file("link"));
  fs::create_hard_link(folder.file("a"), folder.file("hard"));
  CHECK(same_file(identify(folder.file("a")), identify(folder.file("link"))));
  CHECK(same_file(identify(folder.file("a")), identify(folder.file("hard"))));
  CHECK_FALSE(same_file(identify(folder.file("a")), identify(folder.file("b"))));
  CHECK_FALSE(same_file(identify(folder.file("a")), identify(folder.file("none"))));
  CHECK(same_file(identify(folder.file("none")), identify(folder.file("./none"))));
  CHECK_FALSE(same_file(identify("/dev/null"), identify("/dev/null")));
}

TEST_CASE("record heads: own, batch, errors, and what is none") {
  const std::string id = request_id_text({7, 9});
  const auto head = [&](const std::string& text) { return parse_record_head(text); };
  CHECK(head(R"({"id":"a","text":"","request_id":")" + id + "\"}")->id == "a");
  CHECK_FALSE(head(R"({"id":"a","text":"","request_id":")" + id + "\"}")->is_error);
  CHECK(head(R"({"id":"a","error":{"code":"x"},"request_id":")" + id + "\"}")->is_error);
  const auto batch = head(R"({"id":"batch_1","custom_id":"c","response":{"status_code":200,"request_id":")" + id +
                          R"(","body":{"id":"z","request_id":1}},"error":null})");
  REQUIRE(batch);
  CHECK(batch->id == "c");
  CHECK(batch->request == Hash128{7, 9});
  CHECK_FALSE(batch->is_error);
  CHECK(head(R"({"id":"b","custom_id":"c","response":{"status_code":400,"request_id":")" + id + R"("},"error":null})")
            ->is_error);
  CHECK(
      head(R"({"id":"b","custom_id":"c","response":null,"error":{"code":"x"},"request_id":")" + id + "\"}")->is_error);
  for (const char* none : {"", "{}", "[]", "1", R"({"id":"a"})", R"({"id":"a","request_id":"req_12"})", "{\"id\":"})
    CHECK_FALSE(head(none));
}

TEST_CASE("a journal knows ids and hashes, and where the torn line begins") {
  const Folder folder;
  const std::string whole = record("a", 2) + "\n" + record("b", 5, true) + "\n";
  // Every prefix of a third record is a torn line.
  const std::string third = record("c", 9);
  for (size_t cut = 0; cut <= third.size(); ++cut) {
    write(folder.file("out"), whole + third.substr(0, cut));
    const OutputFile out(folder.file("out"));
    Journal journal;
    REQUIRE(journal.read(out) == static_cast<int64_t>(whole.size()));
    REQUIRE(journal.records() == 2);
    REQUIRE(journal.errors() == 1);
  }
  write(folder.file("out"), whole);
  OutputFile out(folder.file("out"));
  Journal journal;
  journal.read(out);
  CHECK(journal.match("c", {9, 1}) == Journal::Match::unanswered);
  CHECK(journal.match("a", {2, 1}) == Journal::Match::answered);
  CHECK(journal.match("a", {4, 1}) == Journal::Match::different);
  CHECK_FALSE(journal.all_matched());
  CHECK(journal.unmatched_id(out) == "b");
  CHECK(journal.match("b", {5, 1}) == Journal::Match::answered);
  CHECK(journal.all_matched());
  Journal retrying;
  CHECK(retrying.read(out, /*retry_errors=*/true) == static_cast<int64_t>(whole.size()));
  CHECK(retrying.records() == 1);
  CHECK(retrying.errors() == 0);
  CHECK(content(folder.file("out")) == whole);
  CHECK(Journal::remove_errors(out) == 1);
  CHECK(content(folder.file("out")) == record("a", 2) + "\n");
}

TEST_CASE("an id that stands twice is no journal") {
  const Folder folder;
  write(folder.file("out"), record("a", 1) + "\n" + record("a", 1) + "\n");
  const OutputFile out(folder.file("out"));
  Journal journal;
  CHECK(code_of([&] { journal.read(out); }) == ExitCode::cannot_create);
}

TEST_CASE("the id table holds what was put in, in bounded space") {
  IdTable<int64_t> table;
  for (int64_t i = 0; i < 100000; ++i) {
    CHECK(table.insert(hash128(std::to_string(i)), i).second);
    REQUIRE(table.size() == static_cast<size_t>(i + 1));
  }
  bool all_there = true;
  for (int64_t i = 0; i < 100000; ++i) {
    const int64_t* value = table.find(hash128(std::to_string(i)));
    all_there &= value && *value == i;
    all_there &= !table.insert(hash128(std::to_string(i)), -1).second;
  }
  CHECK(all_there);
  CHECK_FALSE(table.find(hash128("x")));
  CHECK(table.insert(Hash128(), 5).second);  // the hash that marks free places
  CHECK(*table.find(Hash128()) == 5);
}
