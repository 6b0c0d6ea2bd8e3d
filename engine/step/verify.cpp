#include "engine/step/verify.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "engine/step/model_runner.h"
#include "kernels/communicator.h"

namespace penstock {
namespace {

constexpr double kSlack = 8;
constexpr int64_t kSequences = 2, kPrefill = 48, kDecodeSteps = 4;

struct HostTensor {
  std::string name;
  int64_t rows = 0, cols = 0;
  std::vector<float> values;  // [rows, cols]
};

HostTensor fetch(const std::string& name, const Tensor& x, Backend& backend) {
  HostTensor host{name, x.rows, x.cols, std::vector<float>(x.rows * x.cols)};
  std::vector<uint16_t> narrow(x.dtype == DType::bf16 ? x.cols : 0);
  for (int64_t r = 0; r < x.rows; ++r) {
    float* row = host.values.data() + r * x.cols;
    if (x.dtype == DType::f32) {
      backend.download(row, x.row<float>(r), x.cols * 4);
    } else {
      backend.download(narrow.data(), x.row<uint16_t>(r), x.cols * 2);
      std::transform(narrow.begin(), narrow.end(), row, bf16_to_f32);
    }
  }
  return host;
}

void put(const HostTensor& host, const Tensor& x, Backend& backend) {
  std::vector<uint16_t> narrow(x.dtype == DType::bf16 ? x.cols : 0);
  for (int64_t r = 0; r < x.rows; ++r) {
    const float* row = host.values.data() + r * x.cols;
    if (x.dtype == DType::f32) {
      backend.upload(x.row<float>(r), row, x.cols * 4);
    } else {
      std::transform(row, row + x.cols, narrow.begin(), f32_to_bf16);
      backend.upload(x.row<uint16_t>(r), narrow.data(), x.cols * 2);
    }
  }
}

// One of the two: a single rank with everything that it owns.
class Side {
 public:
  Side(const ModelConfig& model, const SafetensorsFolder* files, const EngineConfig& config)
      : config_(config),
        shard_(model, 0, 1),
        backend_(make_backend({.device = config.device,
                               .index = config.device_of(0, 0),
                               .dtype = config.dtype,
                               .threads = std::max(1, config.threads),
                               .kernels = config.kernels,
                               .poison_memory = config.poison_memory})),
        communicators_(make_thread_communicators(1)),
        runner_(model, config_, plan_memory(model, config_, shard_, *backend_), shard_, files,
                std::max(1, config.threads), *backend_, *communicators_[0], times_) {}

  // Calls see(name, tensor) for each tensor of the step.
  void run(const StepPlan& plan, const Decoder::Observer& see) {
    runner_.decoder().set_observer(see);
    ModelRunner::Timing timing;
    runner_.run(plan, timing);
  }
  Backend& backend() { return *backend_; }

 private:
  EngineConfig config_;
  ShardPlan shard_;
  std::unique_ptr<Backend> backend_;
  std::vector<std::unique_ptr<Communicator>> communicators_;
  StageTimes times_;
  ModelRunner runner_;
};

// As large as the fixed work, whatever the user's run would take.
EngineConfig narrowed(const EngineConfig& config, int64_t context) {
  EngineConfig narrow = config;
  narrow.tensor_parallel = narrow.replicas = 1;
  narrow.max_batch = 32;  // also the rows of logits that exist at once
  narrow.max_step_tokens = static_cast<int32_t>(kSequences * kPrefill);
  narrow.fit_batch = narrow.fit_step_tokens = false;
  narrow.max_context = static_cast<int32_t>(context);
  narrow.kv_blocks = kSequences * ((context + config.block_size - 1) / config.block_size);
  narrow.graphs = false;
  return narrow;
}

// Positions [begin, end) of every sequence as one step. Every token's logits are wanted.
StepPlan plan_step(const std::vector<std::vector<int32_t>>& ids, int64_t begin, int64_t end, int64_t block_size) {
  StepPlan plan;
  const auto blocks = static_cast<int32_t>((ids[0].size() + block_size - 1) / block_size);
  for (int32_t s = 0; s < static_cast<int32_t>(ids.size()); ++s) {
    plan.rows.push_back({.slot = s,
                         .first_token = static_cast<int32_t>(plan.input_ids.size()),
                         .num_tokens = static_cast<int32_t>(end - begin),
                         .first_position = static_cast<int32_t>(begin),
                         .first_block = s * blocks,
                         .num_blocks = blocks});
    for (int32_t b = 0; b < blocks; ++b) plan.block_tables.push_back(s * blocks + b);
    for (int64_t p = begin; p < end; ++p) {
      plan.head_tokens.push_back(static_cast<int32_t>(plan.input_ids.size()));
      plan.head.push_back({.target = 0});  // scored, so that nothing is sampled
      plan.input_ids.push_back(ids[s][p]);
    }
  }
  return plan;
}

std::vector<StepPlan> plan_steps(const ModelConfig& model, int64_t context, int64_t block_size) {
  std::mt19937_64 random(20250102);
  std::vector<std::vector<int32_t>> ids(kSequences);
  for (auto& sequence : ids)
    for (int64_t i = 0; i < context; ++i)
      sequence.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(model.vocab)));
  const int64_t prefill = context - std::min(kDecodeSteps, context - 1);
  std::vector<int64_t> ends = {prefill / 2, prefill};
  if (prefill < 2) ends = {prefill};
  for (int64_t end = prefill + 1; end <= context; ++end) ends.push_back(end);

  std::vector<StepPlan> plans;
  int64_t begin = 0;
  for (int64_t end : ends) {
    plans.push_back(plan_step(ids, begin, end, block_size));
    plans.back().id = plans.size();
    begin = end;
  }
  return plans;
}

// The worst row's |x - reference| / |reference|; NaN as soon as one value is not finite.
double relative_error(const HostTensor& x, const HostTensor& reference) {
  double worst = 0;
  for (int64_t r = 0; r < x.rows; ++r) {
    double difference = 0, magnitude = 0;
    for (int64_t i = r * x.cols; i < (r + 1) * x.cols; ++i) {
      const double want = reference.values[i], delta = x.values[i] - want;
      difference += delta * delta, magnitude += want * want;
    }
    if (difference == 0) continue;
    const double error = std::sqrt(difference / magnitude);
    if (!std::isfinite(difference) || !std::isfinite(magnitude)) return NAN;
    worst = std::max(worst, error);
  }
  return worst;
}

double roundoff(const ModelConfig& model, const EngineConfig& a, const EngineConfig& b) {
  if (a.dtype == DType::bf16 || b.dtype == DType::bf16) return 0x1p-8;
  return 0x1p-24 * std::sqrt(static_cast<double>(model.mlp));
}

int64_t argmax(const HostTensor& x, int64_t row) {
  auto begin = x.values.begin() + row * x.cols;
  return std::max_element(begin, begin + x.cols) - begin;
}

std::string kind_of(const std::string& name) { return name.substr(name.rfind('.') + 1); }

void keep_worst(std::vector<TensorError>& kinds, const TensorError& one) {
  for (TensorError& worst : kinds) {
    if (kind_of(worst.name) != kind_of(one.name)) continue;
    if (one.error > worst.error) worst = one;
    return;
  }
  kinds.push_back(one);
}

// The tested side's step against what the reference showed. Whatever it shows is replaced by the reference's.
void compare_step(Side& subject, const StepPlan& plan, const std::vector<HostTensor>& wanted, int64_t step,
                  double bound, const TensorFault& fault, VerifyReport& report) {
  size_t next = 0;
  subject.run(plan, [&](const std::string& name, const Tensor& x) {
    if (report.first_beyond) return;
    if (fault) fault(name, step, x);
    const HostTensor got = fetch(name, x, subject.backend());
    if (next >= wanted.size() || wanted[next].name != name || wanted[next].rows != x.rows ||
        wanted[next].cols != x.cols)
      throw Error(ExitCode::internal, "verify: the two sides show different tensors, from " + name + " on");
    const HostTensor& want = wanted[next++];
    const TensorError one{name, step, relative_error(got, want), bound};
    ++report.tensors;
    if (!one.within()) {
      report.first_beyond = one;
      return;
    }
    keep_worst(report.worst, one);
    put(want, x, subject.backend());
  });
}

void append_argmaxes(const HostTensor& logits, std::vector<int64_t>& ids) {
  for (int64_t r = 0; r < logits.rows; ++r) ids.push_back(argmax(logits, r));
}

}  // namespace

VerifyReport verify(const ModelConfig& model, const SafetensorsFolder* files, const EngineConfig& reference,
                    const EngineConfig& tested, const TensorFault& fault) {
  const int64_t context = std::min(kPrefill + kDecodeSteps, model.max_positions);
  if (files) check_weights(*files, model, ShardPlan(model, 0, 1));
  Side expected(model, files, narrowed(reference, context)), subject(model, files, narrowed(tested, context));
  const double bound = kSlack * roundoff(model, reference, tested);
  // The sides may cut blocks differently; the ids are the same.
  const std::vector<StepPlan> plans = plan_steps(model, context, reference.block_size);
  const std::vector<StepPlan> tested_plans = plan_steps(model, context, tested.block_size);

  VerifyReport report;
  std::vector<int64_t> wanted_ids, ids;
  for (size_t step = 0; step < plans.size(); ++step) {
    std::vector<HostTensor> wanted;
    expected.run(plans[step], [&](const std::string& name, const Tensor& x) {
      wanted.push_back(fetch(name, x, expected.backend()));
      if (name == "logits") append_argmaxes(wanted.back(), wanted_ids);
    });
    compare_step(subject, tested_plans[step], wanted, static_cast<int64_t>(step), bound, fault, report);
    ++report.steps;
    if (report.first_beyond) return report;
  }
  for (const StepPlan& plan : tested_plans)  // once more, left to itself
    subject.run(plan, [&](const std::string& name, const Tensor& x) {
      if (name == "logits") append_argmaxes(fetch(name, x, subject.backend()), ids);
    });
  report.logit_rows = static_cast<int64_t>(wanted_ids.size());
  for (size_t i = 0; i < ids.size(); ++i) report.argmax_equal += ids[i] == wanted_ids[i];
  return report;
}

}  // namespace penstock
