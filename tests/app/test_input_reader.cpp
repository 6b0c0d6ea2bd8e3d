#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "app/input_reader.h"
#include "kernels/error.h"
#include "tests/support/catch.h"

using namespace penstock;

namespace {

struct Line {
  int64_t number;
  std::string text;
  bool too_long = false;
  bool operator==(const Line&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Line& line) { return out << line.number << ":" << line.text; }

// Feeds `text` through a pipe in writes of `piece` bytes, so that lines are torn across reads everywhere.
std::vector<Line> read_all(const std::string& text, size_t piece, uint64_t max_line_bytes = 1 << 20) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  std::thread writer([&] {
    for (size_t at = 0; at < text.size(); at += piece) {
      const size_t count = std::min(piece, text.size() - at);
      if (::write(ends[1], text.data() + at, count) != static_cast<ssize_t>(count)) std::abort();
    }
    ::close(ends[1]);
  });
  InputReader reader(ends[0], "pipe", max_line_bytes);
  std::vector<Line> lines;
  do {
    while (const auto line = reader.next()) lines.push_back({line->number, std::string(line->text), line->too_long});
  } while (reader.fill() || !reader.drained());
  writer.join();
  ::close(ends[0]);
  CHECK(reader.bytes_read() == text.size());
  return lines;
}

}  // namespace

TEST_CASE("lines come whole, numbered from 1, blank ones skipped but counted") {
  using namespace std::string_literals;
  const std::string text =
      "\xef\xbb\xbf"
      "a\n\n \t\r\nb\r\nc\0d\n\xff\nlast"s;
  const std::vector<Line> wanted = {{1, "a"}, {4, "b\r"}, {5, std::string("c\0d", 3)}, {6, "\xff"}, {7, "last"}};
  for (const size_t piece : {1, 2, 3, 7, 100}) CHECK(read_all(text, piece) == wanted);
}

TEST_CASE("a byte order mark is dropped at the start of the file only") {
  CHECK(read_all("\xef\xbb\xbf\n\xef\xbb\xbfx\n", 1) == std::vector<Line>{{2, "\xef\xbb\xbfx"}});
}

TEST_CASE("no input, no lines") {
  CHECK(read_all("", 1).empty());
  CHECK(read_all("\n\n", 1).empty());
}

TEST_CASE("a line of the limit passes, a longer one is reported once and its neighbours are whole") {
  for (const size_t piece : {1, 3, 64}) {
    CHECK(read_all("a\n12345\nb\n", piece, 5) == std::vector<Line>{{1, "a"}, {2, "12345"}, {3, "b"}});
    CHECK(read_all("a\n123456\nb\n", piece, 5) == std::vector<Line>{{1, "a"}, {2, "", true}, {3, "b"}});
    CHECK(read_all("1234567890", piece, 5) == std::vector<Line>{{1, "", true}});
    CHECK(read_all("123456", piece, 5) == std::vector<Line>{{1, "", true}});
  }
}

TEST_CASE("an input that ends too early is an error before half a line is given out") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  REQUIRE(::write(ends[1], "a\nhalf", 6) == 6);
  ::close(ends[1]);
  InputReader reader(ends[0], "pipe", 100, /*min_bytes=*/7);
  CHECK(reader.fill());
  CHECK(reader.next()->text == "a");
  CHECK_FALSE(reader.next());
  CHECK_THROWS_AS(reader.fill(), Error);
  ::close(ends[0]);
}
