#include "tests/kernels/op_fixture.h"

using namespace penstock;

namespace {

constexpr int64_t kKvHeads = 3, kHeadDim = 40;

void check_copies(Backend& backend, DType dtype, int64_t block_size, int64_t blocks,
                  const std::vector<BlockCopy>& copies) {
  int64_t words = kKvHeads * block_size * kHeadDim * dtype_bytes(dtype) / 2;
  std::mt19937 random(1);
  std::vector<uint16_t> k(blocks * words), v(blocks * words);
  for (uint16_t& word : k) word = static_cast<uint16_t>(random());
  for (uint16_t& word : v) word = static_cast<uint16_t>(random());
  DeviceArray<uint16_t> device_k(backend, k), device_v(backend, v);
  backend.copy_blocks({.cache = {.k = device_k.data(),
                                 .v = device_v.data(),
                                 .dtype = dtype,
                                 .blocks = blocks,
                                 .kv_heads = kKvHeads,
                                 .block_size = block_size,
                                 .head_dim = kHeadDim},
                       .copies = copies});
  for (BlockCopy copy : copies) {
    std::copy_n(k.begin() + copy.from * words, words, k.begin() + copy.to * words);
    std::copy_n(v.begin() + copy.from * words, words, v.begin() + copy.to * words);
  }
  CHECK(device_k.download() == k);
  CHECK(device_v.download() == v);
}

}  // namespace

TEST_CASE("copy_blocks copies whole blocks of keys and values, and nothing else", "[sanitize]") {
  auto backend = test_backend();
  for (DType dtype : cache_dtypes(*backend))
    for (int64_t block_size : block_sizes(*backend)) {
      check_copies(*backend, dtype, block_size, 9, {{0, 5}, {0, 6}, {8, 1}, {3, 4}});
      check_copies(*backend, dtype, block_size, 9, {});
    }
  std::vector<BlockCopy> many;  // more than a launch takes
  for (int32_t i = 0; i < 300; ++i) many.push_back({i / 2, 599 - i});
  check_copies(*backend, cache_dtypes(*backend).back(), 16, 600, many);
}

TEST_CASE("copies may chain on the CPU", "[cpu]") {
  auto backend = cpu_backend();
  for (DType dtype : cache_dtypes(*backend)) check_copies(*backend, dtype, 3, 9, {{0, 5}, {8, 1}, {5, 7}, {2, 5}});
}
