// StepPlan → StepView: the fixed device buffers that every step, and every graph, reads; and what slots keep between
// steps.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/schedule/step_plan.h"
#include "kernels/backend.h"

namespace penstock {

struct StepCapacity {
  int64_t tokens = 0;         // new tokens in a step
  int64_t head_rows = 0;      // wanted logits in a step, and the padding of the last pass
  int64_t rows = 0;           // sequences in a step, and slots
  int64_t table_entries = 0;  // of all block tables of a step
  int64_t vocab = 0;          // of the state of a slot
};

// One rank's. All pointers stay the same for the buffers' life, so graphs may keep them.
class StepBuffers {
 public:
  StepBuffers(const StepCapacity& capacity, Backend& backend, int in_flight = 1);
  static int64_t bytes(const StepCapacity& capacity);

  // Uploads `plan`, padded to `tokens` tokens and `head_rows` wanted rows: one copy of one block of memory, which may
  // still be under way when it returns. Calls so many uploads later wait for it: in_flight of the constructor.
  void upload(const StepPlan& plan, int64_t tokens, int64_t head_rows, Backend& backend);

  // The step as the ops see it, for a bucket of `tokens`.
  StepView view(int64_t tokens) const;
  const int32_t* head_tokens() const { return device_.as<int32_t>() + at_.head_tokens; }  // [head_rows]
  const HeadRow* head_rows() const { return reinterpret_cast<HeadRow*>(device_.as<int32_t>() + at_.head_rows); }
  HeadResult* results() const { return results_.as<HeadResult>(); }    // [head_rows]
  TopLogprob* top() const { return top_.as<TopLogprob>(); }            // [head_rows, kMaxTopLogprobs]
  int32_t* last_tokens() const { return last_tokens_.as<int32_t>(); }  // [rows], by slot
  SlotState slots() const;                                             // likewise

 private:
  // Offsets into the uploaded block, in int32 units.
  struct Layout {
    int64_t head_rows, input_ids, positions, token_rows, row_begin, row_context, row_rope, row_table, head_tokens,
        block_tables, end;
  };
  static Layout layout(const StepCapacity& capacity);

  StepCapacity capacity_;
  Layout at_;
  struct Staging {
    DeviceBuffer host;
    std::unique_ptr<Moment> copied;
  };
  std::vector<Staging> staging_;  // taken in turn
  size_t next_staging_ = 0;
  DeviceBuffer device_, results_, top_, last_tokens_, counts_, edits_, num_edits_;
};

}  // namespace penstock
