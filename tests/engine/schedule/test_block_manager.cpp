#include "engine/schedule/block_manager.h"

#include <vector>

#include "kernels/error.h"
#include "tests/support/catch.h"

using penstock::BlockManager;
using penstock::Error;

TEST_CASE("a block is free, then used, then free again") {
  BlockManager blocks(3);
  CHECK(blocks.num_free() == 3);
  const int32_t a = blocks.acquire(), b = blocks.acquire();
  CHECK(a != b);
  CHECK(blocks.num_used() == 2);
  CHECK(blocks.references(a) == 1);
  blocks.check_consistency(std::vector<int32_t>{1, 1, 0});
  blocks.release(a, false);
  blocks.release(b, false);
  CHECK(blocks.num_free() == 3);
  blocks.check_consistency();
}

TEST_CASE("a shared block stays used until its last user has left") {
  BlockManager blocks(2);
  const int32_t a = blocks.acquire();
  blocks.retain(a);
  blocks.release(a, false);
  CHECK(blocks.references(a) == 1);
  CHECK(blocks.num_used() == 1);
  blocks.release(a, false);
  CHECK(blocks.num_used() == 0);
  blocks.check_consistency();
}

TEST_CASE("cached blocks are reused last, the least recently used first") {
  BlockManager blocks(4);
  const int32_t a = blocks.acquire(), b = blocks.acquire(), c = blocks.acquire();
  blocks.release(b, true);
  blocks.release(a, true);
  blocks.release(c, true);
  CHECK(blocks.num_cached() == 3);
  CHECK(blocks.num_available() == 4);
  blocks.retain(b);         // used again …
  blocks.release(b, true);  // … so now it is the most recent
  blocks.check_consistency();

  const int32_t free_block = blocks.acquire();
  CHECK((free_block != a && free_block != b && free_block != c));
  CHECK(blocks.acquire() == a);
  CHECK(blocks.acquire() == c);
  CHECK(blocks.acquire() == b);
  CHECK(blocks.num_available() == 0);
  blocks.check_consistency();
}

TEST_CASE("a cached block that is retained leaves the cached list from its middle and its ends") {
  for (int32_t chosen = 0; chosen < 3; ++chosen) {
    BlockManager blocks(3);
    std::vector<int32_t> all = {blocks.acquire(), blocks.acquire(), blocks.acquire()};
    for (int32_t block : all) blocks.release(block, true);
    blocks.retain(all[chosen]);
    CHECK(blocks.num_cached() == 2);
    blocks.check_consistency();
    for (int32_t i = 0; i < 3; ++i)
      if (i != chosen) CHECK(blocks.acquire() == all[i]);
  }
}

TEST_CASE("misuse of blocks is found") {
  BlockManager blocks(1);
  CHECK_THROWS_AS(blocks.retain(0), Error);
  CHECK_THROWS_AS(blocks.release(0, false), Error);
  const int32_t a = blocks.acquire();
  CHECK_THROWS_AS(blocks.acquire(), Error);
  CHECK_THROWS_AS(blocks.check_consistency(std::vector<int32_t>{2}), Error);
  blocks.release(a, false);
  CHECK_THROWS_AS(blocks.release(a, true), Error);
}
