#include <algorithm>

#include "engine/step/run_account.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

// Two bytes an element of a weight, without the padding of a real layout.
class PlainBackend : public cpu::CpuBackend {
 public:
  PlainBackend() : CpuBackend({}) {}
  int64_t weight_bytes(int64_t out_features, int64_t in_features, DType) const override {
    return 2 * out_features * in_features;
  }
};

ModelConfig model() {
  ModelConfig m;
  m.hidden = 8, m.layers = 2, m.heads = 2, m.kv_heads = 1, m.head_dim = 4, m.mlp = 16, m.vocab = 32;
  m.max_positions = 512;
  m.layer.resize(2);
  return m;
}

StepWork work_of(const ModelConfig& m, const StepPlan& plan, int64_t head_rows = 512, int ranks = 1) {
  return StepAccount(m, ShardPlan(m, 0, ranks), PlainBackend(), head_rows).work_of(plan);
}

// Two sequences decode, at contexts 10 and 5; three tokens of a prompt follow two others. One row is scored.
StepPlan mixed_plan() {
  StepPlan plan;
  plan.rows = {{.slot = 0, .first_token = 0, .num_tokens = 1, .first_position = 9},
               {.slot = 1, .first_token = 1, .num_tokens = 1, .first_position = 4},
               {.slot = 2, .first_token = 2, .num_tokens = 3, .first_position = 2}};
  plan.input_ids = {-1, -2, 7, 7, 7};
  plan.num_prefill_tokens = 3;
  plan.head = {{.slot = 0}, {.slot = 1}, {.slot = 2, .target = 3}};
  plan.head_tokens = {0, 1, 4};
  return plan;
}

const Work& of(const OpWork& ops, Op op) { return ops[static_cast<size_t>(op)]; }
void check_work(const Work& work, double flops, double cold_bytes, double warm_bytes) {
  CHECK(work.flops == Approx(flops));
  CHECK(work.cold_bytes == Approx(cold_bytes));
  CHECK(work.warm_bytes == Approx(warm_bytes));
}

TEST_CASE("A step's work is what a hand counts") {
  const StepWork work = work_of(model(), mixed_plan());
  // Decoding has 2 of the 5 tokens, in two layers: FLOPs and activations of its own, and two fifths of the weights.
  const auto& d = work.decode;
  check_work(of(d, Op::embed), 0, 2 * 8 * 2, 2 * 8 * 4);
  check_work(of(d, Op::qkv), 2 * (2 * 2 * 8 * 16), 2 * 0.4 * (16 * 8 * 2), 2 * (2 * (8 + 16) * 4));
  check_work(of(d, Op::output), 2 * (2 * 2 * 8 * 8), 2 * 0.4 * (8 * 8 * 2), 2 * (2 * (8 + 8) * 4));
  check_work(of(d, Op::gate_up), 2 * (2 * 2 * 8 * 32), 2 * 0.4 * (32 * 8 * 2), 2 * (2 * (8 + 32) * 4));
  check_work(of(d, Op::down), 2 * (2 * 2 * 16 * 8), 2 * 0.4 * (8 * 16 * 2), 2 * (2 * (16 + 8) * 4));
  check_work(of(d, Op::rms_norm), 3 * 2 * 8, 0, 2 * 2 * 8 * 4);
  check_work(of(d, Op::add_rms_norm), 4 * (4 * 2 * 8), 0, 4 * (4 * 2 * 8 * 4));
  check_work(of(d, Op::qk_norm_rope_store), 2 * 3 * 2 * (8 + 4), 2 * 2 * 2 * 4 * 4, 2 * 2 * 2 * (8 + 4) * 4);
  check_work(of(d, Op::paged_attention), 2 * 4 * (10 + 5) * 8, 2 * 2 * (10 + 5) * 4 * 4, 2 * 2 * 2 * 8 * 4);
  check_work(of(d, Op::gated_mul), 0, 0, 2 * 3 * 2 * 16 * 4);
  // The prompt's three tokens meet 3, 4 and 5 keys, and the five keys are read once.
  const auto& p = work.prefill;
  check_work(of(p, Op::qkv), 2 * (2 * 3 * 8 * 16), 2 * 0.6 * (16 * 8 * 2), 2 * (3 * (8 + 16) * 4));
  check_work(of(p, Op::paged_attention), 2 * 4 * (3 + 4 + 5) * 8, 2 * 2 * 5 * 4 * 4, 2 * 2 * 3 * 8 * 4);
  const auto& h = work.head;
  check_work(of(h, Op::gather_rows), 0, 0, 2 * 3 * 8 * 4);
  check_work(of(h, Op::logits), 2 * 3 * 8 * 32, 32 * 8 * 2, 3 * (8 + 32) * 4);
  check_work(of(h, Op::sample), 0, 0, 2 * 32 * 4);
  check_work(of(h, Op::score), 0, 0, 1 * 32 * 4);
  check_work(of(h, Op::soft_cap), 0, 0, 0);
}

TEST_CASE("What a family adds, and what ranks divide, is in the account") {
  ModelConfig m = model();
  m.sandwich_norms = true, m.logit_soft_cap = 30, m.layer[1].window = 4;
  const StepWork work = work_of(m, mixed_plan(), 2);
  check_work(of(work.decode, Op::rms_norm), 5 * 3 * 2 * 8, 0, 5 * 2 * 2 * 8 * 4);
  check_work(of(work.head, Op::soft_cap), 0, 0, 2 * 3 * 32 * 4);
  CHECK(of(work.head, Op::logits).cold_bytes == 2 * 32 * 8 * 2);  // three rows, two at once: two passes
  // The layer with the window: 4 keys for each decoding row; 3 + 4 + 4 for the prompt's tokens, out of 5.
  CHECK(of(work.decode, Op::paged_attention).flops == 4 * ((10 + 5) + (4 + 4)) * 8);
  CHECK(of(work.prefill, Op::paged_attention).flops == 4 * ((3 + 4 + 5) + (3 + 4 + 4)) * 8);

  m.kv_heads = 2;
  const StepWork whole = work_of(m, mixed_plan()), half = work_of(m, mixed_plan(), 512, 2);
  for (Op op : {Op::embed, Op::qkv, Op::output, Op::gate_up, Op::down, Op::paged_attention})
    CHECK(of(half.decode, op).cold_bytes == Approx(of(whole.decode, op).cold_bytes / 2));
  CHECK(of(half.head, Op::logits).flops == Approx(of(whole.head, Op::logits).flops / 2));
}

TEST_CASE("Attention reaches what its window holds") {
  for (int64_t before : {0, 1, 3, 4, 5, 9, 100})
    for (int64_t tokens : {1, 2, 5, 30})
      for (int64_t window : {0, 1, 4, 7, 1000}) {
        double pairs = 0;
        int64_t first_key = before + tokens;
        for (int64_t position = before; position < before + tokens; ++position) {
          const int64_t keys = window ? std::min(position + 1, window) : position + 1;
          pairs += static_cast<double>(keys);
          first_key = std::min(first_key, position + 1 - keys);
        }
        const AttentionReach reach = attention_reach(before, tokens, window);
        INFO(before << " before " << tokens << " in a window of " << window);
        CHECK(reach.tokens == static_cast<double>(tokens));
        CHECK(reach.pairs == pairs);
        CHECK(reach.keys == static_cast<double>(before + tokens - first_key));
      }
}

TEST_CASE("The slower of arithmetic and bytes bounds an op") {
  const Roofline roof{.flops = 100, .memory_bytes = 10, .cache_bytes = 40};
  CHECK(least_seconds({.flops = 200, .cold_bytes = 10, .warm_bytes = 20}, roof) == 2);
  CHECK(least_seconds({.flops = 100, .cold_bytes = 10, .warm_bytes = 20}, roof) == 1.5);
  CHECK(roofline_for(roof, 64 << 20).memory_bytes == 40);
  CHECK(roofline_for(roof, (64 << 20) + 1).memory_bytes == 10);
}

TEST_CASE("A run's account tells idle from starved, and timed steps from the others") {
  RunAccount account;
  ModelRunner::Timing timing{.bucket = 8, .seconds = 2, .head_seconds = 1, .head_bucket = 4, .ops = {}};
  const PlannedStep decode{.tokens = 7, .prefill_tokens = 0, .head_rows = 3};
  account.add(decode, timing);
  timing.idle_seconds = 0.5;
  account.add(decode, timing);
  timing.idle_seconds = 0.25, timing.recorded = true, timing.bucket = 16;
  account.add({.tokens = 9, .prefill_tokens = 9, .head_rows = 4}, timing);
  timing.idle_seconds = 60, timing.recorded = false, timing.bucket = 8, timing.seconds = 3;
  timing.ops.emplace();
  (*timing.ops)[static_cast<size_t>(Op::qkv)] = {1.5, 2};
  account.add({.tokens = 7, .prefill_tokens = 0, .head_rows = 3, .after_sleep = true}, timing);

  CHECK(account.busy_seconds() == 9);
  CHECK(account.idle_seconds() == 0.75);
  CHECK(account.idle_recording_seconds() == 0.25);
  CHECK(account.starved_seconds() == 60);
  REQUIRE(account.classes().size() == 2);
  const StepClass& eight = account.classes().at({StepKind::decode, 8});
  CHECK(eight.steps == 2);
  CHECK(eight.seconds == 4);
  CHECK(eight.timed_steps == 1);
  CHECK(eight.timed_seconds == 3);
  CHECK(eight.ops[static_cast<size_t>(Op::qkv)].calls == 2);
  CHECK(account.classes().at({StepKind::prefill, 16}).steps == 1);
  REQUIRE(account.heads().size() == 1);
  CHECK(account.heads().at(4).steps == 4);
  CHECK(account.heads().at(4).padding_rows == 3);
}

TEST_CASE("The roofline of this machine is a machine's") {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Roofline roof = make_backend({.dtype = dtype})->measure_roofline();
    CHECK(roof.flops > 1e8);
    CHECK(roof.memory_bytes > 1e8);
    CHECK(roof.cache_bytes > 1e8);
  }
}

}  // namespace
}  // namespace penstock
