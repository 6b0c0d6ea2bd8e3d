// Memory that runs out at any allocation of a start, while weights are on their way.
#include <atomic>

#include "engine/step/model_runner.h"
#include "kernels/communicator.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

// Has no memory for the n-th allocation of any kind.
class ScarceBackend : public cpu::CpuBackend {
 public:
  explicit ScarceBackend(int failing) : CpuBackend({}), left_(failing) {}
  DeviceBuffer allocate(int64_t bytes) override {
    if (--left_ == 0) throw Error(ExitCode::no_device, "no memory");
    return CpuBackend::allocate(bytes);
  }
  bool failed() const { return left_ <= 0; }

 private:
  std::atomic<int> left_;
};

TEST_CASE("Memory that runs out at the n-th allocation of a start is exit code 69, for every n") {
  ModelConfig model;
  model.hidden = 64, model.layers = 2, model.heads = 4, model.kv_heads = 2, model.head_dim = 16, model.mlp = 128;
  model.vocab = 512, model.max_positions = 128;
  model.layer.resize(2);
  const EngineConfig config = {.max_batch = 4, .max_step_tokens = 32, .random_weights = true};
  ModelConfig small = model;
  small.layers = 1, small.layer.resize(1);
  const ShardPlan shard(model, 0, 1), small_shard(small, 0, 1);
  const DraftShare draft{small, small_shard, nullptr};
  const auto communicators = make_thread_communicators(1);
  int failures = 0;
  for (bool complete = false; !complete; ++failures) {
    ScarceBackend backend(failures + 1);
    StageTimes times;
    const MemoryPlan plan = plan_memory(model, config, shard, backend, ModelShare{small, small_shard});
    try {
      const ModelRunner runner(model, config, plan, shard, nullptr, 3, backend, *communicators[0], times, draft);
      complete = true;
      CHECK(!backend.failed());
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::no_device);
      CHECK(backend.failed());
    }
  }
  CHECK(failures > 3 * 2 + 3 * 6);  // KV and weights of three layers at the least
}

}  // namespace
}  // namespace penstock
