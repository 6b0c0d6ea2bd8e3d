// The model check: random jobs on random pools, executed by a device made of hashes (hash_device.h), must answer every
// sequence as if it had run alone, and the scheduler must be consistent after every call.
// PENSTOCK_MODEL_CHECK: number of trials (2,000). PENSTOCK_MODEL_SEED: run this one trial only.
#include <algorithm>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "engine/schedule/scheduler.h"
#include "tests/engine/schedule/hash_device.h"
#include "tests/support/catch.h"

using namespace penstock;
using namespace penstock::testing;

namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(mix(seed, 0x1234567)) {}
  uint64_t bits() { return mix(state_ += 0x9E3779B97F4A7C15u, 0xA0761D6478BD642Fu); }
  int32_t between(int32_t low, int32_t high) { return low + static_cast<int32_t>((bits() >> 16) % (high - low + 1)); }
  bool one_in(int32_t n) { return between(1, n) == 1; }

 private:
  uint64_t state_;
};

// Stops after `pattern`, however the tokens before it were; remembers what it was shown.
struct Watch {
  std::vector<int32_t> pattern, seen;
  bool operator()(int32_t id) {
    seen.push_back(id);
    return seen.size() >= pattern.size() && std::equal(pattern.rbegin(), pattern.rend(), seen.rbegin());
  }
};

struct Job {
  SequenceInput input;
  std::shared_ptr<Watch> watch;  // null without stop strings
};

struct Trial {
  SchedulerConfig config;
  HashModel model;
  int32_t depth = 1;
  std::vector<Job> jobs;
  int32_t pace = 1;         // arrivals: one in so many actions; 0: all at the start
  int32_t stop_after = -1;  // actions until stop_admission(); -1: never
};

struct Totals {
  int64_t sequences = 0, errors = 0, dropped = 0, actions = 0;
  SchedulerStats stats;
  int64_t reserved = 0;  // preempted so often that they were readmitted with a reservation
  int64_t crossed = 0;   // outgrew the short RoPE table while they ran
  int64_t echoed = 0;    // scored and continued
  int64_t all_banned = 0;
  int64_t drafts_right = 0, drafts_wrong = 0;  // of the draft model, where all should be right
};

SchedulerConfig random_config(Random& random) {
  SchedulerConfig config;
  config.max_batch = random.between(1, 16);
  config.max_step_tokens = config.max_batch + (random.one_in(2) ? random.between(0, 8) : random.between(0, 64));
  config.max_head_rows = config.max_batch + random.between(0, 8);
  config.block_size = random.one_in(3) ? 1 << random.between(0, 4) : random.between(1, 16);
  config.num_blocks = random.between(1, random.one_in(2) ? 12 : 64);
  config.max_context = random.between(8, 96);
  config.prefix_cache = !random.one_in(4);
  config.look_ahead = random.one_in(2) ? random.between(1, 6) : 64;
  if (random.one_in(3)) {
    config.long_rope_from = random.between(1, config.max_context);
    config.long_rope_begin = random.between(1, 200);
  }
  if (random.one_in(2)) {
    config.speculation = static_cast<Speculation>(random.between(1, 3));
    if (!random.one_in(3)) config.fixed_drafts = random.between(1, kMaxDrafts);
    if (config.speculation != Speculation::ngram) {
      config.draft_context = random.between(1, 2 * config.max_context);
      config.draft_step_tokens = random.between(config.max_batch, 64);
    }
  }
  return config;
}

// Penalties, biases and alternatives; often none.
void add_edits(SamplingParams& sampling, Random& random, int32_t vocab) {
  if (random.one_in(4)) sampling.repetition_penalty = 1.5f;
  if (random.one_in(6)) sampling.frequency_penalty = 0.5f;
  if (random.one_in(6)) sampling.presence_penalty = -0.5f;
  const bool all = random.one_in(60);
  if (all || random.one_in(4))
    for (int32_t id = 0; id < vocab; ++id)
      if (all || random.one_in(3)) sampling.logit_bias.push_back({id, all || random.one_in(4) ? -INFINITY : 1.5f});
  if (random.one_in(3)) sampling.top_logprobs = random.between(1, kMaxTopLogprobs);
}

// One request: one or several choices of a prompt, or a text to be scored; prompts begin as other prompts do.
void add_request(Trial& trial, Random& random, const std::vector<int32_t>& text, uint64_t number) {
  SequenceInput input;
  input.request = number;
  input.prompt.assign(text.begin(), text.begin() + random.between(0, static_cast<int32_t>(text.size())));
  const int32_t own = random.between(input.prompt.empty(), random.one_in(3) ? 16 : 4);
  for (int32_t i = 0; i < own; ++i) input.prompt.push_back(random.between(0, trial.model.vocab - 1));
  const int32_t size = static_cast<int32_t>(input.prompt.size());
  if (size >= 2 && random.one_in(4)) input.score_from = random.between(1, size - 1);

  input.sampling.seed = random.bits();
  input.sampling.temperature = static_cast<float>(random.between(0, 2));
  input.sampling.top_k = random.between(0, 3);
  input.sampling.top_p = random.one_in(2) ? 1.0f : 0.9f;
  input.sampling.min_p = random.one_in(2) ? 0.0f : 0.05f;
  if (random.one_in(2)) add_edits(input.sampling, random, trial.model.vocab);
  const bool only_scored = input.score_from >= 1 && !random.one_in(3);
  input.stop.max_tokens = only_scored ? 0 : random.between(1, random.one_in(2) ? 4 : 30);
  if (!random.one_in(3)) input.stop.stop_ids = {0};
  input.stop.min_tokens = random.one_in(3) ? random.between(0, 6) : 0;
  const int32_t choices = !only_scored && random.one_in(3) ? random.between(2, 5) : 1;
  for (input.choice = 0; input.choice < choices; ++input.choice) {
    if (input.choice > 0) input.score_from = -1;  // as an echoed prompt is: scored once
    input.tag = trial.jobs.size();
    Job job{input, nullptr};
    if (random.one_in(4)) {
      job.watch = std::make_shared<Watch>();
      for (int32_t i = random.between(1, 2); i > 0; --i) job.watch->pattern.push_back(random.between(0, 3));
      job.input.stop_watcher = [watch = job.watch](int32_t id) { return (*watch)(id); };
    }
    trial.jobs.push_back(std::move(job));
  }
}

// A pool that holds any one of the jobs, but far from all: preemptions.
void tighten_pool(Trial& trial, Random& random) {
  SchedulerConfig& config = trial.config;
  int32_t longest = 1;
  for (Job& job : trial.jobs) {
    if (!random.one_in(3)) job.input.stop.stop_ids.clear();
    if (job.input.stop.max_tokens > 0 && random.one_in(2)) job.input.stop.max_tokens = random.between(8, 60);
    const int32_t size = static_cast<int32_t>(job.input.prompt.size()) + job.input.stop.max_tokens;
    longest = std::max(longest, std::min(size, config.max_context));
  }
  config.block_size = random.between(1, 4);
  const int32_t blocks = longest / config.block_size + random.between(1, 8);
  config.num_blocks = std::min(64, random.one_in(2) ? blocks : blocks * 3 / 2);
}

Trial make_trial(uint64_t seed) {
  Random random(seed);
  Trial trial;
  trial.config = random_config(random);
  trial.model.vocab = random.between(2, 24);
  trial.model.one_in_bad = random.one_in(5) ? random.between(20, 400) : 0;
  trial.model.one_in_wrong = random.one_in(2) ? random.between(1, 8) : 0;
  trial.depth = random.between(1, 3);
  std::vector<std::vector<int32_t>> texts(random.between(1, 3));
  for (auto& text : texts)
    for (int32_t i = random.between(0, 40); i > 0; --i) text.push_back(random.between(0, trial.model.vocab - 1));
  const bool one_number = random.one_in(8);  // other prompts under one request number must not be mixed up
  const int32_t requests = random.one_in(4) ? random.between(1, 50) : random.between(1, 12);
  for (int32_t i = 0; i < requests && trial.jobs.size() < 50; ++i)
    add_request(trial, random, texts[random.between(0, static_cast<int32_t>(texts.size()) - 1)], one_number ? 0 : i);
  if (!random.one_in(3)) tighten_pool(trial, random);
  trial.pace = random.one_in(2) ? 0 : random.between(1, 8);
  if (random.one_in(8)) trial.stop_after = random.between(0, 60);
  return trial;
}

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

class Run {
 public:
  Run(const Trial& trial, uint64_t seed)
      : trial_(trial), random_(mix(seed, 77)), scheduler_(trial.config), device_(trial.config, trial.model) {}

  void all(Totals& totals) {
    int32_t stalled = 0;
    for (; !(next_job_ == trial_.jobs.size() && scheduler_.idle()); ++actions_) {
      require(actions_ < 200000, "the run does not end");
      if (actions_ == trial_.stop_after) stop_admission();
      const bool moved = act();
      stalled = moved ? 0 : stalled + 1;
      require(stalled < 1000, "nothing moves\n" + scheduler_.dump());
    }
    collect();
    check_answers(totals);
    totals.actions += actions_;
    add_stats(totals);
  }

 private:
  bool act() {
    if (next_job_ < trial_.jobs.size() && (trial_.pace == 0 || random_.one_in(trial_.pace))) {
      scheduler_.add(trial_.jobs[next_job_++].input);
      scheduler_.check_consistency();
      return true;
    }
    switch (random_.between(0, 3)) {
      case 0:
        return execute();
      case 1:
        return commit();
      default:
        return plan();
    }
  }

  bool plan() {
    if (planned_.size() + executed_.size() >= static_cast<size_t>(trial_.depth)) return false;
    StepPlan plan = scheduler_.plan();
    scheduler_.check_consistency();
    if (plan.empty()) return false;
    require(plan.id == ++last_plan_, "plan ids do not ascend by one");
    device_.announce(plan);
    require(scheduler_.num_running() <= trial_.config.max_batch, "more run than max_batch");
    planned_.push_back(std::move(plan));
    return true;
  }

  bool execute() {
    if (planned_.empty()) return false;
    executed_.push_back(device_.execute(planned_.front()));
    executed_.back().seconds = 1 + 0.01 * static_cast<double>(planned_.front().num_tokens());
    executed_.back().draft_seconds = 0.1 * static_cast<double>(planned_.front().drafts.size());
    planned_.pop_front();
    return true;
  }

  bool commit() {
    if (executed_.empty() && !execute()) return false;
    scheduler_.commit(executed_.front());
    scheduler_.check_consistency();
    device_.committed();
    executed_.pop_front();
    if (random_.one_in(3)) collect();
    return true;
  }

  void stop_admission() {
    for (uint64_t tag : scheduler_.stop_admission()) require(dropped_.insert({tag, true}).second, "dropped twice");
    scheduler_.check_consistency();
    for (; next_job_ < trial_.jobs.size(); ++next_job_) dropped_[next_job_] = true;
  }

  void collect() {
    for (SequenceOutput& output : scheduler_.take_finished()) {
      const uint64_t tag = output.tag;
      require(answers_.emplace(tag, std::move(output)).second, "answered twice: " + std::to_string(tag));
    }
  }

  void check_answers(Totals& totals) {
    require(scheduler_.used_blocks() == 0, "blocks are still used when all is done");
    require(answers_.size() + dropped_.size() == trial_.jobs.size(), "answers are missing");
    for (const auto& [tag, answer] : answers_) check_answer(trial_.jobs.at(tag), answer, totals);
    totals.sequences += static_cast<int64_t>(answers_.size());
    totals.dropped += static_cast<int64_t>(dropped_.size());
  }

  void check_answer(const Job& job, const SequenceOutput& answer, Totals& totals) {
    const std::string name = "sequence " + std::to_string(answer.tag) + ": ";
    Watch fresh;
    if (job.watch) fresh.pattern = job.watch->pattern;
    const SequenceOutput alone =
        run_alone(job.input, job.watch ? StopWatcher(std::ref(fresh)) : StopWatcher(), trial_.model, trial_.config);
    require(answer.reason == alone.reason, name + "reason " + std::to_string(static_cast<int>(answer.reason)) +
                                               ", alone " + std::to_string(static_cast<int>(alone.reason)) + " " +
                                               answer.error);
    require(answer.fault == alone.fault, name + "another fault than alone");
    require(answer.tokens == alone.tokens, name + "other tokens than alone");
    require(answer.logprobs == alone.logprobs, name + "other logprobs than alone");
    require(answer.scores.size() == alone.scores.size(), name + "another number of scores than alone");
    for (size_t i = 0; i < alone.scores.size(); ++i)
      require(answer.scores[i].logprob == alone.scores[i].logprob && answer.scores[i].argmax == alone.scores[i].argmax,
              name + "other scores than alone");
    require(same_top(answer.top_logprobs, alone.top_logprobs), name + "other alternatives than alone");
    require(same_top(answer.score_top_logprobs, alone.score_top_logprobs), name + "other scored alternatives");
    require((answer.reason == FinishReason::error) == !answer.error.empty(),
            name + "error without message, or reverse");
    if (job.watch) require(job.watch->seen == fresh.seen, name + "the stop watcher saw other tokens than alone");
    require(answer.cached_tokens < static_cast<int32_t>(job.input.prompt.size()),
            name + "all of the prompt was cached");
    totals.errors += answer.reason == FinishReason::error;
    totals.all_banned += answer.fault == SequenceFault::all_ids_banned;
    totals.echoed += !answer.scores.empty() && !answer.tokens.empty();
    const auto prompt = static_cast<int32_t>(job.input.prompt.size()), limit = trial_.config.long_rope_from;
    totals.crossed += limit > 0 && prompt <= limit && prompt + static_cast<int32_t>(answer.tokens.size()) > limit + 1;
    require(answer.preemptions <= 3, name + "preempted in spite of its reservation");
    totals.reserved += answer.preemptions >= 3;
  }

  static bool same_top(const std::vector<std::vector<TopLogprob>>& a, const std::vector<std::vector<TopLogprob>>& b) {
    auto same = [](const TopLogprob& x, const TopLogprob& y) { return x.id == y.id && x.logprob == y.logprob; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const auto& x, const auto& y) {
      return std::equal(x.begin(), x.end(), y.begin(), y.end(), same);
    });
  }

  void add_stats(Totals& totals) const {
    const SchedulerStats& stats = scheduler_.stats();
    totals.stats.steps += stats.steps;
    totals.stats.preemptions += stats.preemptions;
    totals.stats.recomputed_tokens += stats.recomputed_tokens;
    totals.stats.prompt_tokens += stats.prompt_tokens;
    totals.stats.cached_tokens += stats.cached_tokens;
    totals.stats.block_copies += stats.block_copies;
    const SpeculationStats& drafts = stats.speculation;
    for (int32_t i = 0; i < kMaxDrafts; ++i) {
      totals.stats.speculation.ngram.accepted[0] += drafts.ngram.accepted[i];
      totals.stats.speculation.model.accepted[0] += drafts.model.accepted[i];
      if (trial_.model.one_in_wrong > 0 || trial_.model.one_in_bad > 0 || trial_.config.long_rope_from > 0) continue;
      totals.drafts_right += drafts.model.accepted[i];
      totals.drafts_wrong += drafts.model.proposed[i] - drafts.model.accepted[i];
    }
  }

  const Trial& trial_;
  Random random_;
  Scheduler scheduler_;
  HashDevice device_;
  std::deque<StepPlan> planned_;
  std::deque<StepResult> executed_;
  std::map<uint64_t, SequenceOutput> answers_;
  std::map<uint64_t, bool> dropped_;
  size_t next_job_ = 0;
  uint64_t last_plan_ = 0;
  int32_t actions_ = 0;
};

}  // namespace

TEST_CASE("random jobs are answered as if every sequence had run alone", "[model]") {
  const char* only = std::getenv("PENSTOCK_MODEL_SEED");
  const char* count = std::getenv("PENSTOCK_MODEL_CHECK");
  const uint64_t first = only ? std::strtoull(only, nullptr, 10) : 1;
  const uint64_t last = only ? first : count ? std::strtoull(count, nullptr, 10) : 2000;
  REQUIRE(last >= 1);

  Totals totals;
  for (uint64_t seed = first; seed <= last; ++seed) {
    const Trial trial = make_trial(seed);
    try {
      Run(trial, seed).all(totals);
    } catch (const std::exception& error) {
      FAIL("trial PENSTOCK_MODEL_SEED=" << seed << ": " << error.what());
    }
  }
  std::cerr << "model check: " << last - first + 1 << " trials, " << totals.sequences << " sequences (" << totals.errors
            << " errors, " << totals.dropped << " more dropped), " << totals.stats.steps << " steps, "
            << totals.stats.preemptions << " preemptions (" << totals.reserved << " reservations), "
            << totals.stats.block_copies << " copies, " << totals.stats.cached_tokens << " of "
            << totals.stats.prompt_tokens << " prompt tokens cached, " << totals.crossed << " RoPE crossings, "
            << totals.echoed << " echoed, " << totals.all_banned << " without an id to draw, "
            << totals.stats.speculation.ngram.accepted[0] << " drafts by n-grams accepted, "
            << totals.stats.speculation.model.accepted[0] << " by the model; " << totals.drafts_right << " and "
            << totals.drafts_wrong << " wrong where all are right\n";
  if (only || last < 500) return;
  // The trials reach what they are meant to reach.
  CHECK(totals.stats.preemptions > static_cast<int64_t>(last) / 10);
  CHECK(totals.reserved > 0);
  CHECK(totals.crossed > static_cast<int64_t>(last) / 10);
  CHECK(totals.echoed > static_cast<int64_t>(last) / 10);
  CHECK(totals.all_banned > 0);
  CHECK(totals.stats.speculation.ngram.accepted[0] > static_cast<int64_t>(last) / 2);
  CHECK(totals.stats.speculation.model.accepted[0] > static_cast<int64_t>(last));
  CHECK(totals.drafts_right > static_cast<int64_t>(last));
  CHECK(totals.drafts_wrong == 0);
  CHECK(totals.stats.block_copies > static_cast<int64_t>(last) / 10);
  CHECK(totals.stats.cached_tokens > totals.stats.prompt_tokens / 10);
  CHECK(totals.errors > 0);
  CHECK(totals.dropped > 0);
}
