// StepPlan → StepView: the fixed device buffers that every step of a model, and every graph, reads.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/schedule/step_plan.h"
#include "engine/step/upload_ring.h"
#include "kernels/backend.h"

namespace penstock {

struct StepCapacity {
  int64_t tokens = 0;         // new tokens in a step
  int64_t head_rows = 0;      // wanted logits in a step, and the padding of the last pass
  int64_t rows = 0;           // sequences in a step
  int64_t table_entries = 0;  // of all block tables of a step
};

// One rank's. All pointers stay the same for the buffers' life, so graphs may keep them.
class StepBuffers {
 public:
  // in_flight: uploads whose copies may be under way; further: the same of plans without block tables.
  StepBuffers(const StepCapacity& capacity, Backend& backend, int in_flight = 1, int further = 0);
  static int64_t bytes(const StepCapacity& capacity);

  // Uploads `plan`, padded to `tokens` tokens and `head_rows` wanted rows: one copy of one block of memory, which may
  // still be under way when it returns. A plan without block tables goes by those of the upload before it.
  void upload(const StepPlan& plan, int64_t tokens, int64_t head_rows, Backend& backend);

  // The step as the ops see it, for a bucket of `tokens`.
  StepView view(int64_t tokens) const;
  const int32_t* head_tokens() const { return device_.as<int32_t>() + at_.head_tokens; }  // [head_rows]
  const HeadRow* head_rows() const { return reinterpret_cast<HeadRow*>(device_.as<int32_t>() + at_.head_rows); }
  const VerifyRow* verify_rows() const { return reinterpret_cast<VerifyRow*>(device_.as<int32_t>() + at_.verify); }
  HeadResult* results() const { return results_.as<HeadResult>(); }  // [head_rows]
  TopLogprob* top() const { return top_.as<TopLogprob>(); }          // [head_rows, kMaxTopLogprobs]

 private:
  // Offsets into the uploaded block, in int32 units.
  struct Layout {
    int64_t input_ids, positions, token_rows, row_begin, row_context, row_rope, row_table, head_tokens, verify,
        head_rows, block_tables, end;
  };
  static Layout layout(const StepCapacity& capacity);
  void write_tokens(const StepPlan& plan, int64_t tokens, int32_t* host) const;
  void write_head(const StepPlan& plan, int64_t head_rows, int32_t* host) const;

  StepCapacity capacity_;
  Layout at_;
  UploadRing staging_, further_staging_;
  DeviceBuffer device_, results_, top_;
};

}  // namespace penstock
