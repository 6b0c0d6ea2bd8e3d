// On how many GPUs the tests' ranks are spread.
#pragma once
#include <algorithm>
#include <cstdlib>

namespace penstock::test {

// PENSTOCK_TEST_GPUS, or 1: all share the first.
inline int test_gpus() {
  const char* count = std::getenv("PENSTOCK_TEST_GPUS");
  return count ? std::max(1, std::atoi(count)) : 1;
}

}  // namespace penstock::test
