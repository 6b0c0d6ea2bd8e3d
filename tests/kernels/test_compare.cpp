#include "tests/support/compare.h"

#include <limits>
#include <random>
#include <vector>

#include "tests/support/catch.h"

using namespace penstock;

TEST_CASE("the comparison catches a NaN, a swap, a shift and a short result", "[cpu]") {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<Expected> want(100);
  std::vector<float> got;
  for (Expected& e : want) {
    e.add(normal(random));
    e.add(normal(random));
    got.push_back(static_cast<float>(e.value));
  }
  const double relative = 0x1p-24;
  REQUIRE(difference(got, want, relative) == "");
  REQUIRE(bit_difference(got, got) == "");

  SECTION("a NaN") {
    got[57] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THAT(difference(got, want, relative), ContainsSubstring("at 57 of 100"));
    CHECK_THAT(difference(got, want, 1e30), ContainsSubstring("at 57 of 100"));
  }
  SECTION("an infinity, even where the bound is one too") {
    got[3] = std::numeric_limits<float>::infinity();
    want[3].magnitude = std::numeric_limits<double>::quiet_NaN();
    CHECK(difference(got, want, relative) != "");
  }
  SECTION("a NaN where the reference has one") {
    want[0].value = got[0] = std::numeric_limits<float>::quiet_NaN();
    CHECK(difference(got, want, relative) != "");
  }
  SECTION("a swap of two values") {
    std::swap(got[10], got[11]);
    CHECK_THAT(difference(got, want, relative), ContainsSubstring("at 10 of 100"));
  }
  SECTION("a shift by one") {
    got.insert(got.begin(), got.back());
    got.pop_back();
    CHECK(difference(got, want, relative) != "");
  }
  SECTION("a value too few") {
    got.pop_back();
    CHECK(difference(got, want, relative) != "");
    CHECK(bit_difference(got, std::vector<float>(100)) != "");
  }
  SECTION("one bit, and the sign of zero") {
    std::vector<float> other = got;
    other[99] = std::nextafter(other[99], 10.0f);
    CHECK(bit_difference(got, other) != "");
    CHECK(bit_difference(std::vector<float>{0.0f}, std::vector<float>{-0.0f}) != "");
  }
}
