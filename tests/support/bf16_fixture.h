// A model in bf16, in the CPU's fast mode or on a GPU (PENSTOCK_TEST_DEVICE=cuda), beside f32 on the CPU. Answers may
// differ where the top two logits are closer than a bound (design.md §6): 1.0 against f32, 0.5 between bf16 runs; on
// random models that share of the row's standard deviation.
#pragma once
#include <algorithm>
#include <cmath>

#include "engine/fleet.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"
#include "tests/support/logits.h"

namespace penstock::test {

constexpr double kToF32 = 1.0, kBetweenRuns = 0.5;

using Tokens = std::vector<int32_t>;
using Logits = std::vector<float>;

inline bool on_cuda() {
  const char* device = std::getenv("PENSTOCK_TEST_DEVICE");
  return device && std::string(device) == "cuda";
}

// PENSTOCK_TEST_POISON=off: for tools that look for what is read before it is written.
inline EngineConfig tested(EngineConfig config = {}) {
  const char* poison = std::getenv("PENSTOCK_TEST_POISON");
  config.device = on_cuda() ? DeviceKind::cuda : DeviceKind::cpu;
  config.dtype = DType::bf16;
  config.threads = 2;
  config.poison_memory = !(poison && std::string(poison) == "off");
  if (!config.kv_blocks) config.kv_blocks = 16384 / config.block_size;
  return config;
}
inline EngineConfig reference() { return {.threads = 2, .max_step_tokens = 512}; }

inline int32_t best(const Logits& row) {
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

class Bf16Fixture {
 public:
  explicit Bf16Fixture(const std::string& name)
      : golden(read_golden(name)),
        folder(read_model_folder(model_path(name))),
        files(folder.path),
        model(parse_model_config(folder.config, folder.generation_config, folder.path)),
        random_(name != "smollm2") {
    model.checkpoint_dtype = checkpoint_dtype(files);
  }

  // What bounds are a share of: a row's standard deviation where weights are random, else one logit.
  double unit(const Logits& row) const {
    if (!random_) return 1;
    double sum = 0, squares = 0;
    for (float x : row) sum += x, squares += double{x} * x;
    const auto count = static_cast<double>(row.size());
    return std::sqrt(squares / count - sum / count * (sum / count));
  }

  // Texts to be read token by token: those that are scored, and `answers` prompts with their answers.
  std::vector<Tokens> texts(size_t answers) const {
    std::vector<Tokens> all;
    for (const GoldenScore& score : golden.scores) all.push_back(score.ids);
    for (size_t i = 0; i < std::min(answers, golden.answers.size()); ++i) {
      all.push_back(golden.answers[i].prompt);
      all.back().insert(all.back().end(), golden.answers[i].tokens.begin(), golden.answers[i].tokens.end());
    }
    return all;
  }

  // [texts][positions]
  std::vector<std::vector<Logits>> logits(const EngineConfig& config, const std::vector<Tokens>& sequences) const {
    std::vector<std::vector<Logits>> all(sequences.size());
    each_logits(model, files, config, sequences,
                [&](size_t s, int32_t, const float* row) { all[s].emplace_back(row, row + model.vocab); });
    return all;
  }

  // Every position: the argmax agrees, or was close. At least `share` of the positions agree. On random models, which
  // are shallow, each logit is off by half the bound at most; a real model has positions whose activations are a
  // thousand times the others', where bf16 moves a whole row of logits and no token.
  void check_logits(const EngineConfig& config, const std::vector<Tokens>& sequences,
                    const std::vector<std::vector<Logits>>& want, double share) const {
    const auto got = logits(config, sequences);
    int64_t positions = 0, agreed = 0;
    double worst = 0;
    for (size_t s = 0; s < sequences.size(); ++s) {
      REQUIRE(got[s].size() == sequences[s].size());
      for (size_t p = 0; p < got[s].size(); ++p, ++positions) {
        const Logits &ours = got[s][p], &theirs = want[s][p];
        const double one = unit(theirs);
        const int32_t ours_best = best(ours), theirs_best = best(theirs);
        agreed += ours_best == theirs_best;
        INFO("sequence " << s << ", position " << p);
        if (!(theirs[theirs_best] - theirs[ours_best] < kToF32 * one)) CHECK(ours_best == theirs_best);
        for (size_t i = 0; i < ours.size(); ++i) {
          const double off = std::abs(double{ours[i]} - theirs[i]) / one;
          worst = off <= worst ? worst : std::isnan(off) ? INFINITY : off;
        }
      }
    }
    INFO(agreed << " of " << positions << " agree, the worst logit is " << worst << " off");
    CHECK(positions > 0);
    CHECK(static_cast<double>(agreed) >= share * static_cast<double>(positions));
    CHECK(std::isfinite(worst));
    if (random_) CHECK(worst <= kToF32 / 2);
    CHECK(worst > 0);  // two sides, not one side twice
  }

  // The golden prompts' answers, in rounds one after the other; the last round's count. Where a model is to draft, it
  // drafts for itself.
  std::vector<SequenceOutput> answer(const EngineConfig& config, size_t count = SIZE_MAX, bool stops = true,
                                     int rounds = 1, SpeculationStats* drafts = nullptr) const {
    StageTimes times;
    std::optional<DraftFolder> draft;
    if (config.speculation == Speculation::draft) draft = {folder.path, model, model.vocab};
    Fleet engine(folder, model, config, times, draft);
    count = std::min(count, golden.answers.size());
    std::vector<SequenceOutput> outputs(count);
    for (int round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < count; ++i) {
        SequenceInput input;
        input.tag = input.request = i;
        input.prompt = golden.answers[i].prompt;
        input.sampling.temperature = 0;
        if (stops) input.stop.stop_ids = model.eos_ids;
        input.stop.max_tokens = stops ? 64 : 24;
        engine.add(std::move(input));
      }
      for (size_t done = 0; done < count;)
        for (SequenceOutput& output : engine.take_finished(std::chrono::seconds(60))) {
          REQUIRE(output.error == "");
          outputs[output.tag] = std::move(output), ++done;
        }
    }
    if (drafts) *drafts = engine.stats().scheduler.speculation;
    return outputs;
  }

  // Two runs' answers to the golden prompts: where they part, both tokens were among those that are close to the best.
  void check_close(const std::vector<Tokens>& a, const std::vector<Tokens>& b, double bound) const {
    struct Parting {
      size_t prompt;
      int32_t a, b;
    };
    std::vector<Parting> partings;
    std::vector<Tokens> before;
    for (size_t i = 0; i < a.size(); ++i) {
      const auto [x, y] = std::mismatch(a[i].begin(), a[i].end(), b[i].begin(), b[i].end());
      if (x == a[i].end() && y == b[i].end()) continue;
      INFO("one answer to prompt " << i << " goes on where the other ends");
      REQUIRE((x != a[i].end() && y != b[i].end()));
      partings.push_back({i, *x, *y});
      before.push_back(golden.answers[i].prompt);
      before.back().insert(before.back().end(), a[i].begin(), x);
    }
    if (partings.empty()) return;
    each_logits(model, files, reference(), before, [&](size_t s, int32_t position, const float* logits) {
      if (position + 1 != static_cast<int32_t>(before[s].size())) return;
      const Logits row(logits, logits + model.vocab);
      const double gap = double{row[best(row)]} - std::min(row[partings[s].a], row[partings[s].b]);
      INFO("prompt " << partings[s].prompt << " after " << before[s].size() << " tokens: " << partings[s].a << " and "
                     << partings[s].b);
      CHECK(gap < bound * unit(row));
    });
  }

  Golden golden;
  ModelFolder folder;
  SafetensorsFolder files;
  ModelConfig model;

 private:
  bool random_;
};

}  // namespace penstock::test
