#include "engine/schedule/prefix_cache.h"

#include <set>
#include <vector>

#include "kernels/error.h"
#include "tests/support/catch.h"

using namespace penstock;

TEST_CASE("a prefix hash depends on every id and on what came before") {
  const std::vector<int32_t> a = {1, 2, 3, 4}, b = {1, 2, 3, 5};
  CHECK(extend_prefix({}, a) == extend_prefix({}, a));
  CHECK(extend_prefix({}, a) != extend_prefix({}, b));
  CHECK(extend_prefix(extend_prefix({}, a), b) != extend_prefix(extend_prefix({}, b), b));
  CHECK(extend_prefix(extend_prefix({}, a), b) != extend_prefix(extend_prefix({}, b), a));

  std::set<PrefixHash> seen;  // all pairs of short blocks differ
  for (int32_t x = 0; x < 64; ++x)
    for (int32_t y = 0; y < 64; ++y) {
      const std::vector<int32_t> first = {x}, second = {y};
      seen.insert(extend_prefix(extend_prefix({}, first), second));
    }
  CHECK(seen.size() == 64 * 64);
}

TEST_CASE("a block is found by its prefix until it is forgotten") {
  const std::vector<int32_t> ids = {7, 8};
  const PrefixHash prefix = extend_prefix({}, ids), longer = extend_prefix(prefix, ids);
  PrefixCache cache(4);
  CHECK(cache.find(prefix) == -1);
  CHECK(cache.insert(prefix, 2));
  CHECK(cache.find(prefix) == 2);
  CHECK(cache.find(longer) == -1);
  CHECK(cache.holds(2));

  CHECK_FALSE(cache.insert(prefix, 3));  // the first block keeps the prefix
  CHECK(cache.find(prefix) == 2);
  CHECK_FALSE(cache.holds(3));
  CHECK(cache.insert(prefix, 2));
  CHECK_THROWS_AS(cache.insert(longer, 2), Error);

  cache.forget(3);
  CHECK(cache.size() == 1);
  cache.forget(2);
  CHECK(cache.find(prefix) == -1);
  CHECK(cache.size() == 0);
}

TEST_CASE("cache and block manager must agree on what is kept") {
  const std::vector<int32_t> ids = {7, 8};
  BlockManager blocks(2);
  PrefixCache cache(2);
  const int32_t block = blocks.acquire();
  REQUIRE(cache.insert(extend_prefix({}, ids), block));
  cache.check_consistency(blocks);
  blocks.release(block, false);  // freed though it can be found
  CHECK_THROWS_AS(cache.check_consistency(blocks), Error);
  cache.forget(block);
  cache.check_consistency(blocks);

  blocks.release(blocks.acquire(), true);  // kept though nothing leads to it
  CHECK_THROWS_AS(cache.check_consistency(blocks), Error);
}
