#include "tests/kernels/op_fixture.h"

using namespace penstock;

TEST_CASE("copy_blocks copies whole blocks of keys and values, in order, and nothing else") {
  auto backend = test_backend();
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t block_size : {1, 3, 64}) {
      constexpr int64_t kBlocks = 9, kKvHeads = 3, kHeadDim = 20;
      int64_t words = kKvHeads * block_size * kHeadDim * dtype_bytes(dtype) / 2;
      std::mt19937 random(1);
      std::vector<uint16_t> k(kBlocks * words), v(kBlocks * words);
      for (uint16_t& word : k) word = static_cast<uint16_t>(random());
      for (uint16_t& word : v) word = static_cast<uint16_t>(random());
      std::vector<BlockCopy> copies = {{0, 5}, {0, 6}, {8, 1}, {3, 4}, {5, 7}};  // the last one reads the first's copy
      DeviceArray<uint16_t> device_k(*backend, k), device_v(*backend, v);
      backend->copy_blocks({.cache = {.k = device_k.data(),
                                      .v = device_v.data(),
                                      .dtype = dtype,
                                      .blocks = kBlocks,
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
}
