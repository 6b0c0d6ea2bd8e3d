#include "app/report_work.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <vector>

namespace penstock {

namespace {

double ratio(double a, double b) { return b > 0 ? a / b : 0; }

double least_seconds(const OpWork& ops, const Roofline& roof) {
  double seconds = 0;
  for (const Work& work : ops) seconds += least_seconds(work, roof);
  return seconds;
}

Work sum_of(const OpWork& ops) {
  Work sum;
  for (const Work& work : ops) sum += work;
  return sum;
}

// One stage's work: of each op, and the least seconds over the classes of steps, for what bounds an op differs by
// class.
struct StageWork {
  OpWork ops{};
  double seconds = 0, least = 0;

  void add(const OpWork& part, const std::optional<Roofline>& roof) {
    for (size_t i = 0; i < kNumOps; ++i) ops[i] += part[i];
    if (roof) least += least_seconds(part, *roof);
  }
};

OrderedJson to_json(const StageWork& stage, const std::optional<Roofline>& roof) {
  const Work sum = sum_of(stage.ops);
  OrderedJson json = {{"seconds", stage.seconds},
                      {"flops", std::llround(sum.flops)},
                      {"bytes", std::llround(sum.bytes())},
                      {"flops_per_second", ratio(sum.flops, stage.seconds)},
                      {"bytes_per_second", ratio(sum.bytes(), stage.seconds)}};
  if (roof) {
    json["flops_share"] = ratio(arithmetic_seconds(sum, *roof), stage.seconds);
    json["bytes_share"] = ratio(bytes_seconds(sum, *roof), stage.seconds);
    json["least_seconds"] = stage.least;
    json["roofline_share"] = ratio(stage.least, stage.seconds);
  }
  OrderedJson ops = OrderedJson::object();
  for (int i = 0; i < kNumOps; ++i) {
    const Work& work = stage.ops[i];
    if (work == Work{}) continue;
    ops[op_name(static_cast<Op>(i))] = {{"flops", std::llround(work.flops)}, {"bytes", std::llround(work.bytes())}};
  }
  json["ops"] = std::move(ops);
  return json;
}

// The timed steps of one kind.
struct KindProfile {
  int64_t steps = 0, compared_steps = 0;
  double seconds = 0;           // with marks between the ops
  double compared_seconds = 0;  // what those of them would have taken whose bucket was also replayed without marks
  double timed_of_compared = 0;
  OpTimes ops{};
  OpWork work{};
  std::array<double, kNumOps> least{};
};

std::map<StepKind, KindProfile> profiles_of(const WorkInput& input) {
  std::map<StepKind, KindProfile> kinds;
  for (const auto& [key, steps] : input.stats.account.classes()) {
    if (steps.timed_steps == 0) continue;
    KindProfile& kind = kinds[key.first];
    kind.steps += steps.timed_steps;
    kind.seconds += steps.timed_seconds;
    kind.ops += steps.ops;
    for (size_t i = 0; i < kNumOps; ++i) {
      if (steps.ops[i].calls == 0) continue;  // a norm that a sum over ranks is one kernel with has no time of its own
      kind.work[i] += steps.timed_work[i];
      if (input.roofline) kind.least[i] += least_seconds(steps.timed_work[i], *input.roofline);
    }
    if (steps.steps == 0) continue;
    kind.compared_steps += steps.timed_steps;
    kind.timed_of_compared += steps.timed_seconds;
    kind.compared_seconds += steps.seconds / static_cast<double>(steps.steps) * static_cast<double>(steps.timed_steps);
  }
  return kinds;
}

// The ops that ran, longest first.
std::vector<int> ops_by_time(const KindProfile& kind) {
  std::vector<int> order;
  for (int i = 0; i < kNumOps; ++i)
    if (kind.ops[i].calls > 0) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return kind.ops[a].seconds > kind.ops[b].seconds; });
  return order;
}

double op_seconds(const KindProfile& kind) {
  double seconds = 0;
  for (const OpTime& op : kind.ops) seconds += op.seconds;
  return seconds;
}

OrderedJson op_json(const KindProfile& kind, int i, bool has_roofline) {
  const double seconds = kind.ops[i].seconds, steps = static_cast<double>(kind.steps);
  OrderedJson op = {{"op", op_name(static_cast<Op>(i))},
                    {"calls", static_cast<double>(kind.ops[i].calls) / steps},
                    {"milliseconds", seconds / steps * 1e3},
                    {"time_share", ratio(seconds, op_seconds(kind))},
                    {"flops_per_second", ratio(kind.work[i].flops, seconds)},
                    {"bytes_per_second", ratio(kind.work[i].bytes(), seconds)}};
  if (has_roofline) op["roofline_share"] = ratio(kind.least[i], seconds);
  return op;
}

}  // namespace

OrderedJson report_work(const WorkInput& input) {
  const std::optional<Roofline>& roof = input.roofline;
  StageWork prefill, decode, sample, total;
  for (const auto& [key, steps] : input.stats.account.classes()) {
    prefill.add(steps.work.prefill, roof);
    decode.add(steps.work.decode, roof);
    sample.add(steps.work.head, roof);
  }
  prefill.seconds = input.times.seconds(Stage::prefill);
  decode.seconds = input.times.seconds(Stage::decode);
  sample.seconds = input.times.seconds(Stage::sample);
  for (const StageWork* stage : {&prefill, &decode, &sample}) {
    total.add(stage->ops, std::nullopt);
    total.least += stage->least;
  }
  total.seconds = input.stats.account.busy_seconds();
  OrderedJson work = {{"prefill", to_json(prefill, roof)},
                      {"decode", to_json(decode, roof)},
                      {"sample", to_json(sample, roof)},
                      {"total", to_json(total, roof)}};
  if (roof) work["total"]["run_share"] = ratio(total.least, input.run_seconds * input.replicas);
  return work;
}

OrderedJson report_steps(const WorkInput& input) {
  OrderedJson all = OrderedJson::array();
  for (const auto& [key, steps] : input.stats.account.classes()) {
    OrderedJson one = {{"kind", step_kind_name(key.first)},
                       {"tokens", key.second},
                       {"steps", steps.steps + steps.timed_steps},
                       {"milliseconds", (steps.seconds + steps.timed_seconds) * 1e3}};
    if (input.roofline) {
      double least = 0;
      for (const OpWork* part : {&steps.work.prefill, &steps.work.decode, &steps.work.head})
        least += least_seconds(*part, *input.roofline);
      one["roofline_share"] = ratio(least, steps.seconds + steps.timed_seconds);
    }
    all.push_back(std::move(one));
  }
  return all;
}

OrderedJson report_head_buckets(const EngineStats& stats) {
  OrderedJson all = OrderedJson::array();
  for (const auto& [rows, bucket] : stats.account.heads()) {
    const double computed = static_cast<double>(rows) * static_cast<double>(bucket.steps);
    all.push_back({{"rows", rows},
                   {"steps", bucket.steps},
                   {"padding_share", ratio(static_cast<double>(bucket.padding_rows), computed)}});
  }
  return all;
}

OrderedJson report_idle(const EngineStats& stats) {
  const RunAccount& account = stats.account;
  const double idle = account.idle_seconds();
  return {{"busy_seconds", account.busy_seconds()},
          {"idle_seconds", idle},
          {"idle_share", ratio(idle, idle + account.busy_seconds())},
          {"idle_recording_seconds", account.idle_recording_seconds()},
          {"without_work_seconds", account.starved_seconds()}};
}

OrderedJson report_profile(const WorkInput& input) {
  OrderedJson all = OrderedJson::array();
  for (const auto& [name, kind] : profiles_of(input)) {
    const double steps = static_cast<double>(kind.steps);
    OrderedJson one = {{"kind", step_kind_name(name)},
                       {"timed_steps", kind.steps},
                       {"timed_milliseconds", kind.seconds / steps * 1e3},
                       {"ops_milliseconds", op_seconds(kind) / steps * 1e3}};
    if (kind.compared_steps > 0)  // the same buckets, as they run without marks
      one["replayed"] = {
          {"timed_steps", kind.compared_steps},
          {"timed_milliseconds", kind.timed_of_compared / static_cast<double>(kind.compared_steps) * 1e3},
          {"milliseconds", kind.compared_seconds / static_cast<double>(kind.compared_steps) * 1e3}};
    one["ops"] = OrderedJson::array();
    for (int i : ops_by_time(kind)) one["ops"].push_back(op_json(kind, i, input.roofline.has_value()));
    all.push_back(std::move(one));
  }
  return all;
}

std::string format_profile(const WorkInput& input) {
  std::string text;
  char line[200];
  for (const auto& [name, kind] : profiles_of(input)) {
    const double steps = static_cast<double>(kind.steps);
    std::snprintf(line, sizeof line, "%s steps: %lld timed, %.3f ms each, their ops %.3f ms", step_kind_name(name),
                  static_cast<long long>(kind.steps), kind.seconds / steps * 1e3, op_seconds(kind) / steps * 1e3);
    text += line;
    if (kind.compared_steps > 0) {
      std::snprintf(line, sizeof line, "; the same buckets without marks %.3f ms",
                    kind.compared_seconds / static_cast<double>(kind.compared_steps) * 1e3);
      text += line;
    }
    std::snprintf(line, sizeof line, "\n  %-20s %8s %10s %7s %9s %9s  %s\n", "op", "calls", "ms", "share", "TFLOP/s",
                  "GB/s", "of the roofline");
    text += line;
    for (int i : ops_by_time(kind)) {
      const double seconds = kind.ops[i].seconds;
      std::snprintf(line, sizeof line, "  %-20s %8.1f %10.4f %6.1f%% %9.3f %9.1f", op_name(static_cast<Op>(i)),
                    static_cast<double>(kind.ops[i].calls) / steps, seconds / steps * 1e3,
                    100 * ratio(seconds, op_seconds(kind)), ratio(kind.work[i].flops, seconds) * 1e-12,
                    ratio(kind.work[i].bytes(), seconds) * 1e-9);
      text += line;
      if (input.roofline) {
        std::snprintf(line, sizeof line, "  %5.1f%%", 100 * ratio(kind.least[i], seconds));
        text += line;
      }
      text += "\n";
    }
  }
  return text;
}

}  // namespace penstock
