#include "engine/step/step_buffers.h"

#include <algorithm>
#include <cstring>

namespace penstock {
namespace {

// Bytes of what is not uploaded with a step.
struct Sizes {
  explicit Sizes(const StepCapacity& c)
      : results(c.head_rows * static_cast<int64_t>(sizeof(HeadResult))),
        top(c.head_rows * kMaxTopLogprobs * static_cast<int64_t>(sizeof(TopLogprob))),
        last_tokens(c.rows * 4),
        counts(c.rows * c.vocab * 2),
        edits(c.rows * kMaxLogitEdits * static_cast<int64_t>(sizeof(LogitEdit))),
        num_edits(c.rows * 4) {}

  int64_t results, top, last_tokens, counts, edits, num_edits;
  int64_t sum() const { return results + top + last_tokens + counts + edits + num_edits; }
};

}  // namespace

StepBuffers::Layout StepBuffers::layout(const StepCapacity& capacity) {
  int64_t end = 0;
  auto place = [&](int64_t count) {
    int64_t at = end;
    end += (count + 31) / 32 * 32;  // 128 bytes
    return at;
  };
  Layout at;
  at.head_rows = place(capacity.head_rows * static_cast<int64_t>(sizeof(HeadRow)) / 4);
  at.input_ids = place(capacity.tokens);
  at.positions = place(capacity.tokens);
  at.token_rows = place(capacity.tokens);
  at.row_begin = place(capacity.rows + 1);
  at.row_context = place(capacity.rows);
  at.row_rope = place(capacity.rows);
  at.row_table = place(capacity.rows);
  at.head_tokens = place(capacity.head_rows);
  at.block_tables = place(capacity.table_entries);  // last: only what is used is uploaded
  at.end = end;
  return at;
}

int64_t StepBuffers::bytes(const StepCapacity& capacity) { return layout(capacity).end * 4 + Sizes(capacity).sum(); }

StepBuffers::StepBuffers(const StepCapacity& capacity, Backend& backend, int in_flight)
    : capacity_(capacity),
      at_(layout(capacity)),
      staging_(in_flight),
      device_(backend.allocate(at_.end * 4)),
      results_(backend.allocate(Sizes(capacity).results)),
      top_(backend.allocate(Sizes(capacity).top)),
      last_tokens_(backend.allocate(Sizes(capacity).last_tokens)),
      counts_(backend.allocate(Sizes(capacity).counts)),
      edits_(backend.allocate(Sizes(capacity).edits)),
      num_edits_(backend.allocate(Sizes(capacity).num_edits)) {
  for (Staging& staging : staging_) {
    staging.host = backend.allocate_staging(at_.end * 4);
    std::memset(staging.host.data(), 0, staging.host.bytes());
  }
  backend.fill_zero(last_tokens_.data(), last_tokens_.bytes());
  backend.fill_zero(counts_.data(), counts_.bytes());
  backend.fill_zero(num_edits_.data(), num_edits_.bytes());
}

void StepBuffers::upload(const StepPlan& plan, int64_t tokens, int64_t head_rows, Backend& backend) {
  Staging& staging = staging_[next_staging_++ % staging_.size()];
  if (staging.copied) staging.copied->wait();
  int32_t* host = staging.host.as<int32_t>();
  std::copy(plan.input_ids.begin(), plan.input_ids.end(), host + at_.input_ids);
  std::fill(host + at_.input_ids + plan.num_tokens(), host + at_.input_ids + tokens, 0);
  std::fill(host + at_.positions + plan.num_tokens(), host + at_.positions + tokens, -1);
  std::fill(host + at_.token_rows + plan.num_tokens(), host + at_.token_rows + tokens, 0);
  int64_t row = 0;
  for (const PlanRow& r : plan.rows) {
    for (int32_t i = 0; i < r.num_tokens; ++i) {
      host[at_.positions + r.first_token + i] = r.first_position + i;
      host[at_.token_rows + r.first_token + i] = static_cast<int32_t>(row);
    }
    host[at_.row_begin + row] = r.first_token;
    host[at_.row_context + row] = r.first_position + r.num_tokens;
    host[at_.row_rope + row] = r.rope_begin;
    host[at_.row_table + row] = r.first_block;
    ++row;
  }
  for (; row < capacity_.rows; ++row) {
    host[at_.row_begin + row] = static_cast<int32_t>(plan.num_tokens());
    host[at_.row_context + row] = 0;
    host[at_.row_rope + row] = 0;
    host[at_.row_table + row] = 0;
  }
  host[at_.row_begin + capacity_.rows] = static_cast<int32_t>(plan.num_tokens());

  std::vector<HeadRow> head = plan.head;
  head.resize(head_rows);  // padding: slot -1, target -1
  std::copy(head.begin(), head.end(), reinterpret_cast<HeadRow*>(host + at_.head_rows));
  std::copy(plan.head_tokens.begin(), plan.head_tokens.end(), host + at_.head_tokens);
  std::fill(host + at_.head_tokens + plan.head_tokens.size(), host + at_.head_tokens + head_rows, 0);
  if (static_cast<int64_t>(plan.block_tables.size()) > capacity_.table_entries)
    throw Error(ExitCode::internal, "a step's block tables outgrow their buffer");
  std::copy(plan.block_tables.begin(), plan.block_tables.end(), host + at_.block_tables);
  backend.upload_later(device_.data(), host, (at_.block_tables + static_cast<int64_t>(plan.block_tables.size())) * 4);
  staging.copied = backend.mark();
}

StepView StepBuffers::view(int64_t tokens) const {
  const int32_t* base = device_.as<int32_t>();
  return {.tokens = tokens,
          .rows = capacity_.rows,
          .input_ids = base + at_.input_ids,
          .positions = base + at_.positions,
          .token_rows = base + at_.token_rows,
          .row_begin = base + at_.row_begin,
          .row_context = base + at_.row_context,
          .row_rope = base + at_.row_rope,
          .row_table = base + at_.row_table,
          .block_tables = base + at_.block_tables};
}

SlotState StepBuffers::slots() const {
  return {.counts = counts_.as<uint16_t>(),
          .edits = edits_.as<LogitEdit>(),
          .num_edits = num_edits_.as<int32_t>(),
          .slots = capacity_.rows,
          .vocab = capacity_.vocab};
}

}  // namespace penstock
