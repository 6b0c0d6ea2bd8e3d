// What single plans look like. That whole runs give right answers is test_scheduler_model.cpp's matter.
#include "engine/schedule/scheduler.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <map>
#include <numeric>

#include "kernels/error.h"
#include "tests/engine/schedule/hash_device.h"
#include "tests/support/catch.h"

using namespace penstock;
using namespace penstock::testing;

namespace {

SchedulerConfig small() {
  SchedulerConfig config;
  config.max_batch = 4;
  config.max_step_tokens = 16;
  config.max_head_rows = 8;
  config.block_size = 4;
  config.num_blocks = 16;
  config.max_context = 64;
  return config;
}

SequenceInput input(uint64_t tag, int32_t prompt, int32_t max_tokens, int32_t first_id = 100) {
  SequenceInput made;
  made.tag = made.request = tag;
  made.prompt.resize(prompt);
  std::iota(made.prompt.begin(), made.prompt.end(), first_id);
  made.stop.max_tokens = max_tokens;
  return made;
}

StepResult answer(const StepPlan& plan, int32_t token) {
  return {.id = plan.id, .head = std::vector<HeadResult>(plan.head.size(), HeadResult{.token = token}), .top = {}};
}

// Plans and answers until nothing is left; returns the outputs by tag.
std::map<uint64_t, SequenceOutput> finish_all(Scheduler& scheduler, int32_t token = 7) {
  std::map<uint64_t, SequenceOutput> outputs;
  while (!scheduler.idle()) {
    scheduler.commit(answer(scheduler.plan(), token));
    scheduler.check_consistency();
    for (SequenceOutput& output : scheduler.take_finished()) outputs[output.tag] = std::move(output);
  }
  CHECK(scheduler.used_blocks() == 0);
  return outputs;
}

}  // namespace

TEST_CASE("a prompt is computed in chunks beside the tokens of others") {
  Scheduler scheduler(small());
  scheduler.add(input(1, 3, 5));
  StepPlan plan = scheduler.plan();
  REQUIRE(plan.rows.size() == 1);
  CHECK(plan.input_ids == std::vector<int32_t>{100, 101, 102});
  CHECK(plan.num_prefill_tokens == 3);
  REQUIRE(plan.head.size() == 1);
  CHECK(plan.head_tokens[0] == 2);
  CHECK(plan.head[0].position == 3);
  CHECK(plan.head[0].target == -1);
  scheduler.commit(answer(plan, 9));

  scheduler.add(input(2, 20, 5, 300));
  plan = scheduler.plan();
  REQUIRE(plan.rows.size() == 2);
  CHECK(plan.rows[0].num_tokens == 1);
  CHECK(plan.input_ids[0] == 9);
  CHECK(plan.rows[1].num_tokens == 15);
  CHECK(plan.num_prefill_tokens == 15);
  CHECK(plan.head.size() == 1);  // the chunk does not complete its prompt
  CHECK(plan.head[0].position == 4);
  scheduler.commit(answer(plan, 9));
  plan = scheduler.plan();
  CHECK(plan.rows[1].first_position == 15);
  CHECK(plan.rows[1].num_tokens == 5);
  CHECK(plan.head.size() == 2);
  scheduler.commit(answer(plan, 9));
  finish_all(scheduler);
}

TEST_CASE("a plan made ahead takes the unknown token from its slot, and none is planned beyond max_tokens") {
  Scheduler scheduler(small());
  scheduler.add(input(1, 2, 3));
  const StepPlan first = scheduler.plan(), second = scheduler.plan(), third = scheduler.plan();
  CHECK(second.input_ids == std::vector<int32_t>{input_from_slot(first.rows[0].slot)});
  CHECK(third.head[0].position == 4);
  CHECK(scheduler.plan().empty());
  scheduler.commit(answer(first, 5));
  scheduler.commit(answer(second, 6));
  CHECK(scheduler.take_finished().empty());
  scheduler.commit(answer(third, 7));
  const auto outputs = scheduler.take_finished();
  REQUIRE(outputs.size() == 1);
  CHECK(outputs[0].tokens == std::vector<int32_t>{5, 6, 7});
  CHECK(outputs[0].reason == FinishReason::length);
  CHECK(scheduler.idle());
}

TEST_CASE("a stop id found late drops the surplus, and blocks return with the last plan that names them") {
  Scheduler scheduler(small());
  SequenceInput sequence = input(1, 4, 10);
  sequence.stop.stop_ids = {2};
  scheduler.add(sequence);
  const StepPlan first = scheduler.plan(), second = scheduler.plan();
  scheduler.commit(answer(first, 2));
  const auto outputs = scheduler.take_finished();
  REQUIRE(outputs.size() == 1);
  CHECK(outputs[0].tokens == std::vector<int32_t>{2});
  CHECK(outputs[0].reason == FinishReason::stop);
  CHECK(scheduler.num_running() == 0);
  CHECK(scheduler.used_blocks() == 2);
  CHECK_FALSE(scheduler.idle());
  scheduler.commit(answer(second, 8));
  CHECK(scheduler.take_finished().empty());
  CHECK(scheduler.used_blocks() == 0);
  CHECK(scheduler.idle());
}

TEST_CASE("a stop watcher sees every token once, and ends its sequence") {
  Scheduler scheduler(small());
  std::vector<int32_t> seen;
  SequenceInput sequence = input(1, 4, 3);
  sequence.stop_watcher = [&](int32_t id) { return seen.push_back(id), false; };
  scheduler.add(sequence);
  CHECK(finish_all(scheduler)[1].tokens == std::vector<int32_t>{7, 7, 7});
  CHECK(seen == std::vector<int32_t>{7, 7, 7});
  sequence.stop_watcher = [](int32_t id) { return id == 7; };
  scheduler.add(sequence);
  const SequenceOutput output = finish_all(scheduler)[1];
  CHECK(output.reason == FinishReason::stop);
  CHECK(output.tokens.size() == 1);
}

TEST_CASE("a slot is told of penalties, biases and banned stop ids at each admission") {
  SchedulerConfig config = small();
  config.num_blocks = 7;
  Scheduler scheduler(config);
  scheduler.add(input(1, 4, 20));
  SequenceInput edited = input(2, 4, 20, 500);
  edited.sampling.logit_bias = {{3, 1.5f}, {8, -2.0f}};
  edited.sampling.frequency_penalty = 0.5f;
  edited.stop.stop_ids = {8, 5};
  edited.stop.min_tokens = 6;
  scheduler.add(edited);
  std::vector<SlotSetup> setups;
  while (!scheduler.idle()) {
    const StepPlan plan = scheduler.plan();
    setups.insert(setups.end(), plan.setups.begin(), plan.setups.end());
    for (const HeadRow& row : plan.head) {
      CHECK(row.edits == (row.frequency_penalty == 0.5f));
      if (row.edits) CHECK(row.slot == setups.back().slot);
    }
    scheduler.commit(answer(plan, 7));
  }
  REQUIRE(setups.size() >= 2);  // it was preempted
  CHECK(setups[0].prompt == std::vector<int32_t>{500, 501, 502, 503});
  CHECK(setups[0].generated.empty());
  CHECK(setups[1].prompt == setups[0].prompt);
  CHECK(setups[1].generated.size() > 1);
  CHECK(setups[1].generated == std::vector<int32_t>(setups[1].generated.size(), 7));
  std::vector<int32_t> ids, untils;
  for (const LogitEdit& edit : setups[1].edits) ids.push_back(edit.id), untils.push_back(edit.until);
  CHECK(ids == std::vector<int32_t>{3, 5, 8, 8});
  CHECK(untils == std::vector<int32_t>{INT32_MAX, 10, INT32_MAX, 10});
  CHECK(setups[1].edits[1].bias == -INFINITY);
  CHECK(setups[1].edits[2].bias == -2.0f);
}

TEST_CASE("stop ids need no setup when nothing bans them, nor does a text that is only scored") {
  Scheduler scheduler(small());
  SequenceInput plain = input(1, 4, 2), text = input(2, 4, 0, 300);
  plain.stop.stop_ids = {5};
  text.score_from = 1;
  text.sampling.repetition_penalty = 2;
  scheduler.add(plain);
  scheduler.add(text);
  const StepPlan plan = scheduler.plan();
  CHECK(plan.rows.size() == 2);
  CHECK(plan.setups.empty());
  for (const HeadRow& row : plan.head) CHECK(row.edits == 0);
}

TEST_CASE("a prompt that is scored and continued has its scores first, in the rows of one prefill") {
  Scheduler scheduler(small());
  SequenceInput echoed = input(1, 5, 2), other = input(1, 5, 2);
  echoed.score_from = 1;
  other.choice = 1, other.tag = 2;
  scheduler.add(echoed);
  scheduler.add(other);
  StepPlan plan = scheduler.plan();
  REQUIRE(plan.head.size() == 5);
  CHECK(plan.head_tokens == std::vector<int32_t>{0, 1, 2, 3, 4});
  CHECK(plan.head[3].target == 104);
  CHECK(plan.head[4].target == -1);
  CHECK(plan.head[4].position == 5);
  scheduler.commit(answer(plan, 7));
  plan = scheduler.plan();
  REQUIRE(plan.rows.size() == 2);  // the other choice forks, and computes one token
  CHECK(plan.rows[1].first_position == 4);
  CHECK(plan.block_tables[plan.rows[1].first_block] == plan.block_tables[plan.rows[0].first_block]);
  scheduler.commit(answer(plan, 7));
  auto outputs = finish_all(scheduler);
  CHECK(outputs[1].reason == FinishReason::length);
  CHECK(outputs[1].scores.size() == 4);
  CHECK(outputs[1].tokens.size() == 2);
  CHECK(outputs[2].scores.empty());
  CHECK(outputs[2].tokens.size() == 2);
}

TEST_CASE("alternatives reach their tokens and scores, and a short vocabulary leaves places empty") {
  Scheduler scheduler(small());
  SequenceInput echoed = input(1, 2, 1);
  echoed.score_from = 1;
  echoed.sampling.top_logprobs = 3;
  scheduler.add(echoed);
  const StepPlan plan = scheduler.plan();
  StepResult result = answer(plan, 7);
  Scheduler strict(small());
  strict.add(echoed);
  strict.plan();
  CHECK_THROWS_WITH(strict.commit(result), ContainsSubstring("lacks the top log-probabilities"));
  result.top.resize(2 * kMaxTopLogprobs);
  result.top[0] = {4, -1.0f};
  result.top[kMaxTopLogprobs] = {5, -2.0f};
  result.top[kMaxTopLogprobs + 1] = {6, -3.0f};
  scheduler.commit(result);
  const SequenceOutput output = scheduler.take_finished().at(0);
  REQUIRE(output.score_top_logprobs.size() == 1);
  REQUIRE(output.score_top_logprobs[0].size() == 1);
  CHECK(output.score_top_logprobs[0][0].id == 4);
  REQUIRE(output.top_logprobs.size() == 1);
  REQUIRE(output.top_logprobs[0].size() == 2);
  CHECK(output.top_logprobs[0][1].id == 6);
  CHECK(output.top_logprobs[0][1].logprob == -3.0f);
}

TEST_CASE("a sequence that outgrows the short RoPE table is computed anew with the long one") {
  SchedulerConfig config = small();
  config.long_rope_from = 6;
  config.long_rope_begin = 100;
  Scheduler scheduler(config);
  scheduler.add(input(1, 5, 6));
  StepPlan plan = scheduler.plan();
  CHECK(plan.rows[0].rope_begin == 0);
  const StepPlan ahead = scheduler.plan();  // feeds position 5: six tokens are still short
  CHECK(ahead.rows.at(0).rope_begin == 0);
  CHECK(scheduler.plan().empty());  // the seventh is not known yet
  scheduler.commit(answer(plan, 7));
  CHECK(scheduler.plan().empty());
  scheduler.commit(answer(ahead, 8));
  plan = scheduler.plan();
  REQUIRE(plan.rows.size() == 1);
  CHECK(plan.rows[0].rope_begin == 100);
  CHECK(plan.rows[0].first_position == 0);  // the short blocks of the prompt are no use
  CHECK(plan.input_ids == std::vector<int32_t>{100, 101, 102, 103, 104, 7, 8});
  scheduler.commit(answer(plan, 9));
  const SequenceOutput output = finish_all(scheduler, 9)[1];
  CHECK(output.tokens == std::vector<int32_t>{7, 8, 9, 9, 9, 9});
  CHECK(output.preemptions == 0);
  CHECK(scheduler.stats().preemptions == 0);

  scheduler.add(input(2, 9, 2));  // long from the start, and what the first has left behind is of use
  plan = scheduler.plan();
  CHECK(plan.rows[0].rope_begin == 100);
  CHECK(plan.rows[0].first_position == 4);
}

TEST_CASE("scores are wanted at the token before, and a step wants no more than max_head_rows") {
  Scheduler scheduler(small());
  SequenceInput text = input(1, 14, 0);
  text.score_from = 4;
  scheduler.add(text);
  StepPlan plan = scheduler.plan();
  CHECK(plan.num_tokens() == 3 + 8);
  REQUIRE(plan.head.size() == 8);
  CHECK(plan.head_tokens[0] == 3);
  CHECK(plan.head[0].target == 104);
  scheduler.commit(answer(plan, -1));
  plan = scheduler.plan();
  CHECK(plan.num_tokens() == 2);  // positions 11 and 12; the last token predicts nothing
  CHECK(plan.head.back().target == 113);
  scheduler.commit(answer(plan, -1));
  const auto outputs = scheduler.take_finished();
  REQUIRE(outputs.size() == 1);
  CHECK(outputs[0].reason == FinishReason::scored);
  CHECK(outputs[0].scores.size() == 10);

  // The same text again: cached up to the first wanted position, inside a block that nobody uses, so without a copy.
  scheduler.add(text);
  plan = scheduler.plan();
  CHECK(plan.rows[0].first_position == 3);
  CHECK(plan.copies.empty());
  scheduler.commit(answer(plan, -1));
  finish_all(scheduler);
}

TEST_CASE("a prompt that is cached to its end shares all blocks and copies the last") {
  Scheduler scheduler(small());
  scheduler.add(input(1, 8, 9));
  const StepPlan first = scheduler.plan();
  scheduler.commit(answer(first, 7));
  scheduler.add(input(2, 8, 3));
  const StepPlan plan = scheduler.plan();
  REQUIRE(plan.rows.size() == 2);
  CHECK(plan.rows[1].first_position == 7);
  CHECK(plan.rows[1].num_tokens == 1);
  REQUIRE(plan.copies.size() == 1);
  CHECK(plan.copies[0].from == first.block_tables[1]);
  const int32_t* table = &plan.block_tables[plan.rows[1].first_block];
  CHECK(table[0] == first.block_tables[0]);
  CHECK(table[1] == plan.copies[0].to);
  scheduler.check_consistency();
  scheduler.commit(answer(plan, 7));
  auto outputs = finish_all(scheduler);
  CHECK(outputs[2].cached_tokens == 7);
  CHECK(scheduler.stats().block_copies == 1);
}

TEST_CASE("rows of one plan share what an earlier row of it writes") {
  Scheduler scheduler(small());
  scheduler.add(input(1, 9, 2));
  scheduler.add(input(2, 9, 2));
  const StepPlan plan = scheduler.plan();
  REQUIRE(plan.rows.size() == 2);
  CHECK(plan.rows[0].num_tokens == 9);
  CHECK(plan.rows[1].num_tokens == 1);
  CHECK(plan.block_tables[0] == plan.block_tables[plan.rows[1].first_block]);
  CHECK(plan.copies.empty());
  scheduler.commit(answer(plan, 7));
  finish_all(scheduler);
}

TEST_CASE("the choices of a request fork from the first, without a prefix cache too") {
  SchedulerConfig config = small();
  config.prefix_cache = GENERATE(true, false);
  Scheduler scheduler(config);
  for (int32_t choice = 0; choice < 3; ++choice) {
    SequenceInput sequence = input(choice, 7, 4);
    sequence.request = 77;
    sequence.choice = choice;
    scheduler.add(sequence);
  }
  const StepPlan first = scheduler.plan();
  CHECK(first.rows.size() == 1);  // the others wait for the prompt
  const StepPlan second = scheduler.plan();
  REQUIRE(second.rows.size() == 3);
  CHECK(second.num_tokens() == 3);
  CHECK(second.copies.size() == 2);
  for (const BlockCopy& copy : second.copies) CHECK(copy.from == first.block_tables[1]);
  CHECK(second.head[1].choice == 1);
  CHECK(second.head[1].position == 7);
  scheduler.check_consistency();
  scheduler.commit(answer(first, 7));
  scheduler.commit(answer(second, 7));
  CHECK(finish_all(scheduler).size() == 3);
}

TEST_CASE("logits that are not finite end their sequence alone, and its blocks are not offered to others") {
  Scheduler scheduler(small());
  scheduler.add(input(1, 5, 3));
  scheduler.add(input(2, 5, 3, 500));
  const StepPlan plan = scheduler.plan();
  StepResult result = answer(plan, 7);
  result.head[0] = {.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
  scheduler.commit(result);
  scheduler.check_consistency();
  auto outputs = scheduler.take_finished();
  REQUIRE(outputs.size() == 1);
  CHECK(outputs[0].reason == FinishReason::error);
  CHECK(outputs[0].error == "NaN or infinity in the logits");
  CHECK(outputs[0].fault == SequenceFault::non_finite_logits);
  CHECK(outputs[0].tokens.empty());
  const uint64_t other = outputs[0].tag == 1 ? 2 : 1;
  CHECK(finish_all(scheduler)[other].tokens.size() == 3);
  scheduler.add(input(3, 5, 3, outputs[0].tag == 1 ? 100 : 500));
  CHECK(scheduler.plan().rows[0].first_position == 0);
}

TEST_CASE("when the pool runs out the youngest is preempted, and its answer is whole all the same") {
  SchedulerConfig config = small();
  config.num_blocks = 7;
  Scheduler scheduler(config);
  for (int32_t i : {1, 2}) {
    SequenceInput one = input(i, 4, 20, i == 1 ? 100 : 500);
    one.stop.stop_ids = {9999};  // never drawn, but nobody knows
    scheduler.add(std::move(one));
  }
  auto outputs = finish_all(scheduler);
  CHECK(outputs[1].preemptions == 0);
  CHECK(outputs[2].preemptions >= 1);
  CHECK(outputs[1].tokens.size() == 20);
  CHECK(outputs[2].tokens.size() == 20);
  CHECK(scheduler.stats().preemptions == outputs[2].preemptions);
}

TEST_CASE("whose ends are known are admitted together only as far as they fit to their ends") {
  SchedulerConfig config = small();
  for (int32_t blocks : {7, 8, 10, 13, 28}) {
    config.num_blocks = blocks;
    Scheduler scheduler(config);
    for (int32_t i = 1; i <= 12; ++i) scheduler.add(input(i, 4 + i % 3, 5 + i * 7 % 16, 100 * i));
    std::map<uint64_t, SequenceOutput> outputs;
    int32_t most = 0;
    while (!scheduler.idle()) {
      scheduler.commit(answer(scheduler.plan(), 7));
      most = std::max(most, scheduler.num_running());
      for (SequenceOutput& output : scheduler.take_finished()) outputs[output.tag] = std::move(output);
    }
    INFO(blocks << " blocks, at most " << most << " at a time");
    CHECK(outputs.size() == 12);
    for (const auto& [tag, output] : outputs) CHECK(output.tokens.size() == 5 + tag * 7 % 16);
    CHECK(scheduler.stats().preemptions == 0);
    CHECK(scheduler.stats().recomputed_tokens == 0);
    CHECK(most >= (blocks < 13 ? 1 : blocks < 28 ? 2 : 3));
  }
}

TEST_CASE("what can never fit is refused with the numbers") {
  Scheduler scheduler(small());
  scheduler.add(input(1, 64, 1));
  scheduler.add(input(2, 65, 1));
  scheduler.add(input(3, 0, 1));
  SchedulerConfig tiny = small();
  tiny.num_blocks = 2;
  Scheduler poor(tiny);
  poor.add(input(4, 5, 5));
  auto outputs = scheduler.take_finished();
  REQUIRE(outputs.size() == 3);
  for (const SequenceOutput& output : outputs) {
    CHECK(output.reason == FinishReason::error);
    CHECK(output.fault == SequenceFault::never_fits);
  }
  CHECK(outputs[0].error == "the prompt of 64 tokens leaves no room for a token in the context of 64");
  outputs = poor.take_finished();
  REQUIRE(outputs.size() == 1);
  CHECK_THAT(outputs[0].error, ContainsSubstring("can need 3 KV blocks of 4 tokens, the pool has 2"));
  poor.add(input(5, 5, 4));  // 8 positions are fed: the ninth token ends it
  CHECK(finish_all(poor)[5].tokens.size() == 4);
}

TEST_CASE("max_tokens is capped by the context") {
  SchedulerConfig config = small();
  config.max_context = 10;
  Scheduler scheduler(config);
  scheduler.add(input(1, 6, 100));
  const SequenceOutput output = finish_all(scheduler)[1];
  CHECK(output.tokens.size() == 4);
  CHECK(output.reason == FinishReason::length);
}

TEST_CASE("a scored text may have one token more than the context: its last one is not fed") {
  SchedulerConfig config = small();
  config.max_context = 10;
  for (const int32_t size : {10, 11, 12}) {
    Scheduler scheduler(config);
    SequenceInput text = input(1, size, 0);
    text.score_from = 1;
    scheduler.add(text);
    const std::vector<SequenceOutput> refused = scheduler.take_finished();
    CAPTURE(size);
    REQUIRE(refused.size() == (size > 11));
    CHECK((size > 11 ? refused[0].reason == FinishReason::error
                     : finish_all(scheduler)[1].reason == FinishReason::scored));
  }
}

TEST_CASE("after stop_admission what runs goes on and the rest is handed back") {
  SchedulerConfig config = small();
  config.max_batch = 1;
  Scheduler scheduler(config);
  scheduler.add(input(1, 4, 3));
  const StepPlan plan = scheduler.plan();
  scheduler.add(input(2, 4, 3));
  scheduler.add(input(3, 9, 3));
  CHECK(scheduler.stop_admission() == std::vector<uint64_t>{2, 3});
  CHECK(scheduler.num_waiting() == 0);
  scheduler.commit(answer(plan, 7));
  CHECK(finish_all(scheduler)[1].tokens.size() == 3);
  CHECK_THROWS_AS(scheduler.add(input(4, 1, 1)), Error);
}

TEST_CASE("limits that contradict each other and results out of order are refused") {
  SchedulerConfig config = small();
  config.max_step_tokens = 3;
  CHECK_THROWS_WITH(Scheduler(config), ContainsSubstring("max_step_tokens (3) must be at least max_batch (4)"));
  Scheduler scheduler(small());
  CHECK(scheduler.plan().empty());
  scheduler.add(input(1, 4, 3));
  const StepPlan first = scheduler.plan(), second = scheduler.plan();
  CHECK_THROWS_AS(scheduler.commit(answer(second, 7)), Error);
  CHECK_THROWS_AS(scheduler.commit(StepResult{.id = first.id, .head = {}, .top = {}}), Error);
}

TEST_CASE("planning and committing 512 decoders", "[.speed]") {
  SchedulerConfig config;
  config.max_batch = 512;
  config.max_step_tokens = 8192;
  config.num_blocks = 512 * 24;
  config.max_context = 4096;
  Scheduler scheduler(config);
  for (uint64_t i = 0; i < 4096; ++i) {
    SequenceInput sequence = input(i, 512, 1000, static_cast<int32_t>(i * 7));
    sequence.stop.stop_ids = {2, 3};
    scheduler.add(sequence);
  }
  std::deque<StepPlan> in_flight;
  double worst = 0, total = 0;
  int32_t steps = 0;
  while (steps < 500) {
    const auto start = std::chrono::steady_clock::now();
    in_flight.push_back(scheduler.plan());
    const bool full = in_flight.back().rows.size() == 512 && in_flight.back().num_tokens() == 512;
    if (in_flight.size() == 2) {
      StepResult result = answer(in_flight.front(), 7);
      in_flight.pop_front();
      scheduler.commit(result);
    }
    if (!full) continue;
    const double micros = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    worst = std::max(worst, micros);
    total += micros;
    ++steps;
  }
  std::printf("plan + commit of 512 decoders: mean %.1f us, worst %.1f us\n", total / steps, worst);
  CHECK(total / steps < 300);
}
