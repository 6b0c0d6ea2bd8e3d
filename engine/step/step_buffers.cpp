#include "engine/step/step_buffers.h"

#include <algorithm>

namespace penstock {
namespace {

// Bytes of what is not uploaded with a step.
int64_t results_bytes(const StepCapacity& c) { return c.head_rows * static_cast<int64_t>(sizeof(HeadResult)); }
int64_t top_bytes(const StepCapacity& c) {
  return c.head_rows * kMaxTopLogprobs * static_cast<int64_t>(sizeof(TopLogprob));
}

}  // namespace

StepBuffers::Layout StepBuffers::layout(const StepCapacity& capacity) {
  int64_t end = 0;
  auto place = [&](int64_t count) {
    int64_t at = end;
    end += (count + 31) / 32 * 32;  // 128 bytes
    return at;
  };
  Layout at;
  at.input_ids = place(capacity.tokens);
  at.positions = place(capacity.tokens);
  at.token_rows = place(capacity.tokens);
  at.row_begin = place(capacity.rows + 1);
  at.row_context = place(capacity.rows);
  at.row_rope = place(capacity.rows);
  at.row_table = place(capacity.rows);
  at.head_tokens = place(capacity.head_rows);
  at.verify = place(capacity.rows * static_cast<int64_t>(sizeof(VerifyRow)) / 4);
  // Last: only what is used of these is uploaded.
  at.head_rows = place(capacity.head_rows * static_cast<int64_t>(sizeof(HeadRow)) / 4);
  at.block_tables = place(capacity.table_entries);
  at.end = end;
  return at;
}

int64_t StepBuffers::bytes(const StepCapacity& capacity) {
  return layout(capacity).end * 4 + results_bytes(capacity) + top_bytes(capacity);
}

StepBuffers::StepBuffers(const StepCapacity& capacity, Backend& backend, int in_flight, int further)
    : capacity_(capacity),
      at_(layout(capacity)),
      staging_(backend, in_flight, at_.end * 4),
      further_staging_(backend, further, at_.block_tables * 4),
      device_(backend.allocate(at_.end * 4)),
      results_(backend.allocate(results_bytes(capacity))),
      top_(backend.allocate(top_bytes(capacity))) {}

void StepBuffers::upload(const StepPlan& plan, int64_t tokens, int64_t head_rows, Backend& backend) {
  const auto table_entries = static_cast<int64_t>(plan.block_tables.size());
  if (table_entries > capacity_.table_entries)
    throw Error(ExitCode::internal, "a step's block tables outgrow their buffer");
  UploadRing& staging = table_entries > 0 || further_staging_.empty() ? staging_ : further_staging_;
  auto* host = staging.take<int32_t>();
  write_tokens(plan, tokens, host);
  write_head(plan, head_rows, host);
  std::copy(plan.block_tables.begin(), plan.block_tables.end(), host + at_.block_tables);
  const int64_t end = table_entries > 0 ? at_.block_tables + table_entries
                                        : at_.head_rows + head_rows * static_cast<int64_t>(sizeof(HeadRow)) / 4;
  staging.upload(device_.data(), end * 4, backend);
}

void StepBuffers::write_tokens(const StepPlan& plan, int64_t tokens, int32_t* host) const {
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
}

void StepBuffers::write_head(const StepPlan& plan, int64_t head_rows, int32_t* host) const {
  auto* rows = reinterpret_cast<HeadRow*>(host + at_.head_rows);
  std::fill(std::copy(plan.head.begin(), plan.head.end(), rows), rows + head_rows, HeadRow{});  // slot -1, target -1
  std::copy(plan.head_tokens.begin(), plan.head_tokens.end(), host + at_.head_tokens);
  std::fill(host + at_.head_tokens + plan.head_tokens.size(), host + at_.head_tokens + head_rows, 0);
  std::copy(plan.verify.begin(), plan.verify.end(), reinterpret_cast<VerifyRow*>(host + at_.verify));
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

}  // namespace penstock
