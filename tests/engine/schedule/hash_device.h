// A device whose arithmetic is a hash: it executes plans as the real one does, and its answers betray every mistake.
//
// The cell of a position holds hash(id, entry of the RoPE table, all earlier cells of the sequence), read through the
// block table of the plan. A wrong, stale or reused block, a missing copy, a wrong position or a wrong id therefore
// changes every draw that follows; so do a slot's edits, and what it has counted. run_alone() answers the same request
// without scheduler, blocks or steps.
//
// Its draft model is the same hash in a pool of its own, so that every draft is right as long as that pool is; but one
// in so many is made wrong where a trial says so.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/schedule/scheduler.h"

namespace penstock::testing {

inline uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD1B54A32D192ED03u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64) ^ std::rotl(a, 23) ^ b;
}

// What a slot keeps of its sequence for penalties and edits.
struct EditState {
  std::map<int32_t, int32_t> drawn;
  std::set<int32_t> prompt;
  std::vector<LogitEdit> edits;

  bool bans(int32_t id, int32_t position) const {
    return std::any_of(edits.begin(), edits.end(), [&](const LogitEdit& edit) {
      return edit.id == id && std::isinf(edit.bias) && position < edit.until;
    });
  }
  uint64_t digest(const HeadRow& head) const {
    uint64_t hash =
        mix(std::bit_cast<uint32_t>(head.repetition_penalty),
            mix(std::bit_cast<uint32_t>(head.frequency_penalty), std::bit_cast<uint32_t>(head.presence_penalty)));
    for (auto [id, times] : drawn) hash = mix(hash, mix(static_cast<uint64_t>(id), static_cast<uint64_t>(times)));
    for (int32_t id : prompt) hash = mix(hash, static_cast<uint64_t>(id) + 1);
    for (const LogitEdit& edit : edits)
      if (head.position < edit.until)
        hash = mix(hash, mix(static_cast<uint64_t>(edit.id), std::bit_cast<uint32_t>(edit.bias)));
    return hash;
  }
};

// What the hash model is: part of a trial, the same for the device and for run_alone().
struct HashModel {
  int32_t vocab = 8;
  uint32_t one_in_wrong = 0;  // drafts of the draft model; 0: none
  uint32_t one_in_bad = 0;    // logits that are not finite; 0: none

  static uint64_t cell(int32_t id, int32_t rope_entry, uint64_t context) {
    return mix(mix(static_cast<uint64_t>(id), static_cast<uint64_t>(rope_entry)), context);
  }
  // Context of the first p + 1 positions from that of the first p.
  static uint64_t extend(uint64_t context, uint64_t cell) { return std::rotl(context, 5) * 0x2545F4914F6CDD1Du + cell; }

  HeadResult answer(uint64_t context, const HeadRow& head, const EditState& state) const {
    const uint64_t logits = mix(context, 0x5BD1E995);
    if (one_in_bad > 0 && logits % one_in_bad == 0) return {.token = -1, .logprob = 0, .flags = HeadResult::kNonFinite};
    if (head.target >= 0) {
      const uint64_t score = mix(logits, static_cast<uint64_t>(head.target));
      return {
          .token = -1, .logprob = -static_cast<float>(score % 997), .flags = score & 1024 ? HeadResult::kArgmax : 0};
    }
    uint64_t key = mix(head.seed, (static_cast<uint64_t>(head.choice) << 32) | static_cast<uint32_t>(head.position));
    key = mix(key, std::bit_cast<uint32_t>(head.temperature) ^ (static_cast<uint64_t>(head.top_k) << 32));
    key ^= std::bit_cast<uint32_t>(head.top_p) ^ (static_cast<uint64_t>(std::bit_cast<uint32_t>(head.min_p)) << 32);
    if (head.edits) key = mix(key, state.digest(head));
    const uint64_t draw = mix(logits, key);
    int32_t token = static_cast<int32_t>((draw >> 20) % vocab);
    for (int32_t tried = 0; head.edits && state.bans(token, head.position); ++tried, token = (token + 1) % vocab)
      if (tried == vocab) return {.token = -1, .logprob = 0, .flags = HeadResult::kAllBanned};
    return {.token = token, .logprob = -static_cast<float>(draw % 991), .flags = 0};
  }

  // [kMaxTopLogprobs] as the ops fill them; what a row does not want is left as it was.
  void fill_top(uint64_t context, const HeadRow& head, TopLogprob* top) const {
    for (int32_t i = 0; i < head.top_logprobs; ++i)
      top[i] =
          i < vocab ? TopLogprob{i, -static_cast<float>(mix(context, static_cast<uint64_t>(i)) % 983)} : TopLogprob{};
  }
};

class HashDevice {
 public:
  HashDevice(const SchedulerConfig& config, const HashModel& model)
      : config_(config),
        model_(model),
        cells_(static_cast<size_t>(config.num_blocks) * config.block_size, 0xDEAD),
        draft_cells_(cells_),
        written_(cells_.size(), 0),
        last_tokens_(config.max_batch * (1 + kMaxDrafts), -1),
        edits_(config.max_batch),
        next_position_(config.max_batch, -1),
        last_writer_(config.num_blocks, -1) {}

  // To be called as each plan is made: what must hold before it runs, given the plans that are still in flight.
  void announce(const StepPlan& plan) {
    check_limits(plan);
    for (const PlanRow& row : plan.rows) {
      const bool newcomer = row.first_position != next_position_[row.slot];
      next_position_[row.slot] = row.first_position + row.num_tokens;
      const int32_t first_written = row.first_position / config_.block_size;
      for (const StepPlan& other : in_flight_) {
        for (const PlanRow& earlier : other.rows) {
          require(!newcomer || earlier.slot != row.slot, "a slot changed hands while a plan in flight names it");
          if (earlier.slot == row.slot) continue;
          for (int32_t i = first_written; i < row.num_blocks; ++i)
            for (int32_t j = 0; j < earlier.num_blocks; ++j)
              require(plan.block_tables[row.first_block + i] != other.block_tables[earlier.first_block + j],
                      "a block is written while a plan in flight names it for another sequence");
        }
        for (const BlockCopy& copy : other.copies)
          for (int32_t i = first_written; i < row.num_blocks; ++i)
            require(plan.block_tables[row.first_block + i] != copy.from || last_writer_[copy.from] == row.slot,
                    "the source of a copy in flight was given to another sequence");
      }
      for (int32_t i = first_written; i < row.num_blocks; ++i)
        last_writer_[plan.block_tables[row.first_block + i]] = row.slot;
    }
    in_flight_.push_back(plan);
  }

  void committed() { in_flight_.pop_front(); }

  StepResult execute(const StepPlan& plan) {
    copy(plan, cells_);
    copy(plan, draft_cells_);
    for (const SlotSetup& setup : plan.setups) prepare(setup);
    for (const KnownDrafts& known : plan.known_drafts)
      std::copy(known.ids.begin(), known.ids.end(), drafts_of(known.slot));
    for (const DraftRow& row : plan.drafts) draft(plan, row);
    StepResult result{.id = plan.id, .head = {}, .top = {}};
    const bool wants_top =
        std::any_of(plan.head.begin(), plan.head.end(), [](const HeadRow& row) { return row.top_logprobs > 0; });
    if (wants_top) result.top.resize(plan.head.size() * kMaxTopLogprobs, {.id = 7777, .logprob = 7777});
    size_t head = 0;
    std::vector<std::pair<int32_t, int32_t>> drawn;  // reaches the slots when the step is done
    for (const PlanRow& row : plan.rows) {
      const int32_t* table = &plan.block_tables[row.first_block];
      auto index = [&](int32_t p) {
        return table[p / config_.block_size] * config_.block_size + p % config_.block_size;
      };
      uint64_t context = 0;
      for (int32_t p = 0; p < row.first_position; ++p) context = HashModel::extend(context, cells_[index(p)]);
      for (int32_t i = 0; i < row.num_tokens; ++i) {
        const int32_t token = row.first_token + i, position = row.first_position + i, at = index(position);
        const int32_t input = plan.input_ids[token];
        require(written_[at] != plan.id, "two rows of one plan write the same cell");
        written_[at] = plan.id;
        const int32_t id = input >= 0 ? input : last_tokens_.at(~input);
        require(id >= 0 && id < model_.vocab, "a token is fed that nobody has drawn");
        cells_[at] = HashModel::cell(id, row.rope_begin + position, context);
        context = HashModel::extend(context, cells_[at]);
        for (; head < plan.head.size() && plan.head_tokens[head] == token; ++head) {
          const HeadRow& wanted = plan.head[head];
          result.head.push_back(model_.answer(context, wanted, state_of(wanted)));
          if (wanted.top_logprobs > 0) model_.fill_top(context, wanted, &result.top[head * kMaxTopLogprobs]);
          if (wanted.target < 0 && wanted.draw == DrawKind::next)
            drawn.emplace_back(wanted.slot, result.head.back().token);
        }
      }
    }
    require(head == plan.head.size(), "wanted logits are not in the order of their tokens");
    for (auto [slot, token] : drawn) {
      last_tokens_[slot] = std::max(0, token);
      ++edits_[slot].drawn[token];
    }
    for (const VerifyRow& row : plan.verify) accept(row, result);
    return result;
  }

 private:
  static void require(bool holds, const char* what) {
    if (!holds) throw std::runtime_error(what);
  }

  void check_limits(const StepPlan& plan) const {
    require(plan.num_tokens() <= config_.max_step_tokens, "too many tokens in a step");
    require(static_cast<int32_t>(plan.head.size()) <= config_.max_head_rows, "too many wanted logits in a step");
    require(plan.head.size() == plan.head_tokens.size(), "head and head_tokens differ");
    std::vector<bool> seen(config_.max_batch, false);
    int64_t tokens = 0, blocks = 0;
    for (const PlanRow& row : plan.rows) {
      require(row.slot >= 0 && row.slot < config_.max_batch && !seen[row.slot], "a slot has two rows or none exists");
      seen[row.slot] = true;
      require(row.num_tokens >= 1 && row.first_token == tokens && row.first_block == blocks, "rows are not contiguous");
      require(row.num_blocks == (row.first_position + row.num_tokens + config_.block_size - 1) / config_.block_size,
              "a row's table does not cover its positions");
      tokens += row.num_tokens;
      blocks += row.num_blocks;
    }
    require(tokens == plan.num_tokens() && blocks == static_cast<int64_t>(plan.block_tables.size()),
            "rows leave a rest");
    for (int32_t block : plan.block_tables) require(block >= 0 && block < config_.num_blocks, "no such block");
  }

  void prepare(const SlotSetup& setup) {
    require(setup.slot >= 0 && setup.slot < config_.max_batch, "a setup for a slot that there is not");
    require(setup.edits.size() <= static_cast<size_t>(kMaxLogitEdits), "too many edits");
    require(std::is_sorted(setup.edits.begin(), setup.edits.end(),
                           [](const LogitEdit& a, const LogitEdit& b) { return a.id < b.id; }),
            "edits are not in the order of their ids");
    EditState& state = edits_[setup.slot] = {};
    state.prompt.insert(setup.prompt.begin(), setup.prompt.end());
    for (int32_t id : setup.generated) ++state.drawn[id];
    state.edits = setup.edits;
  }

  std::vector<int32_t>::iterator drafts_of(int32_t slot) {
    return last_tokens_.begin() + config_.max_batch + slot * kMaxDrafts;
  }

  // What the draw sees: drafts before it count.
  EditState state_of(const HeadRow& wanted) {
    EditState state = edits_[wanted.slot];
    for (int32_t i = 0; i < wanted.drafted; ++i) ++state.drawn[drafts_of(wanted.slot)[i]];
    return state;
  }

  void draft(const StepPlan& plan, const DraftRow& draft) {
    const PlanRow& row = plan.rows.at(draft.row);
    const int32_t* table = &plan.block_tables[row.first_block];
    auto cell = [&](int32_t p) -> uint64_t& {
      require(p / config_.block_size < row.num_blocks, "a draft beyond the row's table");
      return draft_cells_[table[p / config_.block_size] * config_.block_size + p % config_.block_size];
    };
    require(draft.head.draw == DrawKind::draft && draft.head.slot == row.slot, "a draft that is none");
    require(draft.first_position + draft.num_ids + draft.num_drafts <= config_.draft_context, "beyond its context");
    uint64_t context = 0;
    int32_t position = 0;
    auto feed = [&](int32_t id) {
      cell(position) = HashModel::cell(id, position, context);
      context = HashModel::extend(context, cell(position++));
    };
    while (position < draft.first_position) context = HashModel::extend(context, cell(position++));
    for (int32_t i = 0; i < draft.num_ids; ++i) feed(plan.draft_ids.at(draft.first_id + i));
    for (int32_t i = 0; i < draft.num_drafts; ++i) {
      HeadRow head = draft.head;
      require(head.position == position - i, "a draft is not drawn for the next position");
      head.position += i, head.drafted = i;
      int32_t token = std::max(0, model_.answer(context, head, state_of(head)).token);
      if (model_.one_in_wrong > 0 && mix(context, 0xD7AF7) % model_.one_in_wrong == 0)
        token = (token + 1) % model_.vocab;
      drafts_of(row.slot)[i] = token;
      if (i + 1 < draft.num_drafts) feed(token);
    }
  }

  void accept(const VerifyRow& row, StepResult& result) {
    require(row.drafts >= 1 && row.drafts <= kMaxDrafts, "a row to verify has no drafts, or too many");
    HeadResult* drawn = &result.head.at(row.first);
    int32_t last = 0;
    while (last < row.drafts && drawn[last].token == drafts_of(row.slot)[last]) ++last;
    last_tokens_[row.slot] = std::max(0, drawn[last].token);
    for (int32_t i = 0; i <= row.drafts; ++i)
      if (i <= last)
        ++edits_[row.slot].drawn[drawn[i].token];
      else
        drawn[i] = {.token = 7777, .logprob = 7777, .flags = HeadResult::kRejected};
  }

  // All sources are read before any target is written: the copies of a plan may run in any order.
  void copy(const StepPlan& plan, std::vector<uint64_t>& cells) const {
    std::vector<uint64_t> sources;
    for (const BlockCopy& copy : plan.copies) {
      const auto from = cells.begin() + copy.from * config_.block_size;
      sources.insert(sources.end(), from, from + config_.block_size);
    }
    auto source = sources.begin();
    for (const BlockCopy& copy : plan.copies) {
      for (const BlockCopy& other : plan.copies) require(copy.to != other.from, "a copy's target is another's source");
      std::copy(source, source + config_.block_size, cells.begin() + copy.to * config_.block_size);
      source += config_.block_size;
    }
  }

  const SchedulerConfig config_;
  const HashModel model_;
  std::vector<uint64_t> cells_;         // [blocks * block_size]
  std::vector<uint64_t> draft_cells_;   // likewise
  std::vector<uint64_t> written_;       // by which plan
  std::vector<int32_t> last_tokens_;    // [max_batch], then drafts [max_batch, kMaxDrafts]
  std::vector<EditState> edits_;        // [max_batch]
  std::vector<int32_t> next_position_;  // [max_batch] as planned
  std::vector<int32_t> last_writer_;    // [blocks] slot, as planned
  std::deque<StepPlan> in_flight_;
};

// The edits that a sequence asks for, as the device should know them.
inline EditState edit_state(const SequenceInput& input) {
  EditState state;
  state.prompt.insert(input.prompt.begin(), input.prompt.end());
  std::multimap<int32_t, LogitEdit> by_id;
  for (const LogitEdit& bias : input.sampling.logit_bias) by_id.emplace(bias.id, bias);
  const int32_t until = static_cast<int32_t>(input.prompt.size()) + input.stop.min_tokens;
  if (input.stop.min_tokens > 0)
    for (int32_t id : input.stop.stop_ids) by_id.emplace(id, LogitEdit{id, -INFINITY, until});
  for (const auto& [id, edit] : by_id) state.edits.push_back(edit);
  return state;
}

// What the logits after ids[0, fed) depend on. The whole text is rotated by one table, whichever its length calls for.
inline uint64_t context_of(const std::vector<int32_t>& ids, int32_t fed, bool long_rope,
                           const SchedulerConfig& config) {
  uint64_t context = 0;
  const int32_t begin = long_rope ? config.long_rope_begin : 0;
  for (int32_t p = 0; p < fed; ++p) context = HashModel::extend(context, HashModel::cell(ids[p], begin + p, context));
  return context;
}

// The answer to one sequence alone; a pure function. `watcher` must be fresh.
inline SequenceOutput run_alone(const SequenceInput& input, const StopWatcher& watcher, const HashModel& model,
                                const SchedulerConfig& config) {
  SequenceOutput output;
  output.tag = input.tag;
  const int32_t prompt = static_cast<int32_t>(input.prompt.size());
  const bool scoring = input.score_from >= 1;
  const int32_t max_new = std::min(input.stop.max_tokens, config.max_context - prompt);
  const SamplingParams& s = input.sampling;
  auto end = [&](FinishReason reason) {
    output.reason = reason;
    return output;
  };
  auto fail = [&](SequenceFault fault) {
    output.fault = fault;
    return end(FinishReason::error);
  };
  auto is_long = [&](int32_t fed) { return config.long_rope_from > 0 && fed > config.long_rope_from; };
  auto keep_top = [&](uint64_t context, const HeadRow& head, std::vector<std::vector<TopLogprob>>& list) {
    if (s.top_logprobs == 0) return;
    std::vector<TopLogprob> top(kMaxTopLogprobs);
    model.fill_top(context, head, top.data());
    top.resize(std::min(s.top_logprobs, model.vocab));
    list.push_back(top);
  };
  const bool generates = input.stop.max_tokens > 0;
  const bool leaves_room = generates ? max_new >= 1 : prompt - scoring <= config.max_context;
  if (!leaves_room || prompt + std::max(0, max_new) - 1 > config.num_blocks * config.block_size)
    return fail(SequenceFault::never_fits);

  if (scoring) {
    const bool long_rope = is_long(generates ? prompt : prompt - 1);
    for (int32_t target = input.score_from; target < prompt; ++target) {
      const HeadRow head{.target = input.prompt[target], .top_logprobs = s.top_logprobs};
      const uint64_t context = context_of(input.prompt, target, long_rope, config);
      const HeadResult result = model.answer(context, head, {});
      if (result.flags & HeadResult::kNonFinite) return fail(SequenceFault::non_finite_logits);
      output.scores.push_back({result.logprob, (result.flags & HeadResult::kArgmax) != 0});
      keep_top(context, head, output.score_top_logprobs);
    }
    if (!generates) return end(FinishReason::scored);
  }
  EditState state = edit_state(input);
  const bool penalties = s.repetition_penalty != 1 || s.frequency_penalty != 0 || s.presence_penalty != 0;
  std::vector<int32_t> ids = input.prompt;
  for (int32_t fed = prompt; fed < prompt + max_new; ++fed) {
    const HeadRow head{.temperature = s.temperature,
                       .top_p = s.top_p,
                       .min_p = s.min_p,
                       .top_k = s.top_k,
                       .position = fed,
                       .choice = input.choice,
                       .seed = s.seed,
                       .repetition_penalty = s.repetition_penalty,
                       .frequency_penalty = s.frequency_penalty,
                       .presence_penalty = s.presence_penalty,
                       .top_logprobs = s.top_logprobs,
                       .edits = penalties || !state.edits.empty()};
    const uint64_t context = context_of(ids, fed, is_long(fed), config);
    const HeadResult result = model.answer(context, head, state);
    if (result.flags & HeadResult::kNonFinite) return fail(SequenceFault::non_finite_logits);
    if (result.flags & HeadResult::kAllBanned) return fail(SequenceFault::all_ids_banned);
    ids.push_back(result.token);
    ++state.drawn[result.token];
    output.tokens.push_back(result.token);
    output.logprobs.push_back(result.logprob);
    keep_top(context, head, output.top_logprobs);
    if (std::count(input.stop.stop_ids.begin(), input.stop.stop_ids.end(), result.token) > 0)
      return end(FinishReason::stop);
    if (watcher && watcher(result.token)) return end(FinishReason::stop);
  }
  return end(FinishReason::length);
}

}  // namespace penstock::testing
