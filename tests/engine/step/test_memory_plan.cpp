#include "engine/model/weights.h"
#include "engine/step/memory_plan.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

// A machine with as much memory as the case says.
class SmallBackend : public cpu::CpuBackend {
 public:
  explicit SmallBackend(int64_t bytes, DType dtype = DType::f32) : CpuBackend({.dtype = dtype}), bytes_(bytes) {}
  int64_t memory_bytes() const override { return bytes_; }

 private:
  int64_t bytes_;
};

constexpr int64_t kGiB = int64_t{1} << 30;

ModelConfig model() {
  ModelConfig m;
  m.hidden = 64, m.layers = 3, m.heads = 4, m.kv_heads = 2, m.head_dim = 16, m.mlp = 128, m.vocab = 512;
  m.max_positions = 512;
  return m;
}

MemoryPlan plan(const EngineConfig& config, int64_t bytes, DType dtype = DType::f32) {
  return plan_memory(model(), config, ShardPlan(model(), 0, config.tensor_parallel), SmallBackend(bytes, dtype));
}

TEST_CASE("The pool holds every sequence at full length when memory allows, and no more") {
  const MemoryPlan p = plan({.max_batch = 4, .block_size = 64}, kGiB);
  CHECK(p.kv_blocks == 4 * 512 / 64);
  CHECK(p.kv_block_bytes == 2 * 3 * 2 * 64 * 16 * 4);  // K and V, layers, kv_heads, tokens, head_dim, f32
  CHECK(p.kv_bytes == p.kv_blocks * p.kv_block_bytes);
  CHECK(p.max_context == 512);
  CHECK(p.rope_bytes == 512 * 16 * 4);
  CHECK(plan({.max_batch = 4}, kGiB, DType::bf16).kv_block_bytes == p.kv_block_bytes / 2);
}

TEST_CASE("The pool takes at most a quarter of the host's memory by itself, and what is asked for otherwise") {
  const int64_t bytes = 64 << 20;
  const MemoryPlan p = plan({.max_batch = 1000}, bytes);
  CHECK(p.kv_bytes <= bytes / 4);
  CHECK(p.kv_bytes > bytes / 4 - p.kv_block_bytes);
  const MemoryPlan asked = plan({.max_batch = 1000, .kv_blocks = p.kv_blocks + 100}, bytes);
  CHECK(asked.kv_blocks == p.kv_blocks + 100);
  CHECK(plan({.kv_blocks = 1}, bytes).kv_blocks == 1);
}

TEST_CASE("What does not fit is exit code 69, with the plan in the message") {
  const EngineConfig asks_too_much = {.kv_blocks = 1000000};
  const EngineConfig modest = {};
  for (auto [config, bytes] : {std::pair{asks_too_much, kGiB}, std::pair{modest, int64_t{1} << 20}}) {
    try {
      plan(config, bytes);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::no_device);
      CHECK_THAT(error.what(), ContainsSubstring("weights") && ContainsSubstring("kv blocks") &&
                                   ContainsSubstring("of " + std::to_string(bytes >> 20) + " MiB available"));
    }
  }
}

TEST_CASE("Ranks divide weights, keys and the host's memory") {
  const MemoryPlan one = plan({.max_batch = 8}, kGiB), two = plan({.tensor_parallel = 2, .max_batch = 8}, kGiB);
  CHECK(two.available_bytes == one.available_bytes / 2);
  CHECK(two.kv_block_bytes == one.kv_block_bytes / 2);
  CHECK(two.kv_blocks == one.kv_blocks);
  CHECK(two.weight_bytes < one.weight_bytes * 6 / 10);
  CHECK(two.weight_bytes > one.weight_bytes / 2);  // norms are on both
}

TEST_CASE("A step holds one token of every sequence, and the context is no longer than asked for") {
  const MemoryPlan p = plan({.max_batch = 100, .max_step_tokens = 10, .max_context = 100}, kGiB);
  CHECK(p.max_step_tokens == 100);
  CHECK(p.max_context == 100);
  CHECK(plan({.max_context = 100000}, kGiB).max_context == 512);
  const StepCapacity capacity = step_capacity(p);
  CHECK(capacity.rows == 100);
  CHECK(capacity.table_entries == 100 * 2);
  CHECK(capacity.head_rows >= 100 + head_rows_at_once(100));
  CHECK(capacity.vocab == 512);
  CHECK(p.step_bytes >= 100 * (512 * 2 + kMaxLogitEdits * 12));  // what slots keep is paid for
}

}  // namespace
}  // namespace penstock
