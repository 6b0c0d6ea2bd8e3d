#include <functional>

#include "engine/step/graph_buckets.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

TEST_CASE("Buckets ascend, begin at 1 and end at the largest step") {
  CHECK(graph_buckets(1) == std::vector<int64_t>{1});
  CHECK(graph_buckets(3) == std::vector<int64_t>{1, 2, 3});
  CHECK(graph_buckets(24) == std::vector<int64_t>{1, 2, 4, 8, 16, 24});
  for (int64_t largest : {1, 7, 16, 17, 63, 64, 100, 512, 513, 4096, 100000}) {
    const std::vector<int64_t> buckets = graph_buckets(largest);
    INFO("largest " << largest);
    CHECK(buckets.front() == 1);
    CHECK(buckets.back() == largest);
    CHECK(std::adjacent_find(buckets.begin(), buckets.end(), std::greater_equal<>()) == buckets.end());
  }
}

TEST_CASE("A step takes the smallest bucket that holds it, and pads little") {
  for (int64_t largest : {50, 512, 8192}) {
    const std::vector<int64_t> buckets = graph_buckets(largest);
    for (int64_t count = 1; count <= largest; ++count) {
      const int64_t bucket = bucket_for(buckets, count);
      INFO(count << " of " << largest << " in " << bucket);
      REQUIRE(bucket >= count);
      REQUIRE(std::none_of(buckets.begin(), buckets.end(), [&](int64_t b) { return b >= count && b < bucket; }));
      const int64_t padding = bucket - count;
      if (count >= 64)
        REQUIRE(padding * 8 < bucket * 3);  // 65 of 96
      else if (count >= 16)
        REQUIRE(padding * 3 < bucket);
      else
        REQUIRE(padding * 2 < bucket);
    }
  }
}

}  // namespace
}  // namespace penstock
