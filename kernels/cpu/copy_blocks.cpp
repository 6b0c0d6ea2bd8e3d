#include <cstring>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/vector.h"

namespace penstock::cpu::PENSTOCK_ISA {

// Each worker takes a range of bytes within the block and goes through all copies in order, so copies may even chain.
void copy_blocks(ThreadPool& pool, const CopyBlocks& op) {
  const KvCache& cache = op.cache;
  int64_t block_bytes = cache.kv_heads * cache.block_size * cache.head_dim * dtype_bytes(cache.dtype);
  int64_t count = static_cast<int64_t>(op.copies.size());
  if (count == 0) return;
  constexpr int64_t kWorthwhileBytes = 1 << 16;
  int64_t grain = larger(divide_up(kWorthwhileBytes, count), int64_t{64});
  pool.parallel_for(block_bytes, grain, [&](int64_t begin, int64_t end) {
    for (const BlockCopy& copy : op.copies)
      for (void* part : {cache.k, cache.v}) {
        char* base = static_cast<char*>(part);
        std::memmove(base + copy.to * block_bytes + begin, base + copy.from * block_bytes + begin, end - begin);
      }
  });
}

}  // namespace penstock::cpu::PENSTOCK_ISA
