// A rank's part of a row of logits, as the kernels of find_candidates and choose_candidates see it: a block takes a
// part of that.
#pragma once
#include "kernels/cuda/head_rows.cuh"
#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {

constexpr int kPartThreads = 256, kPartWarps = kPartThreads / kWarp;

struct PartRows {
  const float* logits;
  float* edited;
  int64_t stride, edited_stride;
  int32_t first_id, ids;
};

inline PartRows rows_of(const RankLogits& part) {
  return {.logits = static_cast<const float*>(part.logits.data),
          .edited = static_cast<float*>(part.edited.data),
          .stride = part.logits.stride,
          .edited_stride = part.edited.stride,
          .first_id = static_cast<int32_t>(part.first_id),
          .ids = static_cast<int32_t>(part.ids)};
}

// In groups of four ids, as random words come.
struct BlockIds {
  int32_t first_id, ids;  // the rank's
  int begin, end;         // groups of this block

  __device__ BlockIds(const PartRows& rows, int part) : first_id(rows.first_id), ids(rows.ids) {
    const int first = first_id / 4, groups = (first_id + ids + 3) / 4 - first;
    begin = first + static_cast<int>(static_cast<int64_t>(groups) * part / kCandidateParts);
    end = first + static_cast<int>(static_cast<int64_t>(groups) * (part + 1) / kCandidateParts);
  }
  __device__ bool has(int32_t id) const {
    return id >= 4 * begin && id < 4 * end && id >= first_id && id < first_id + ids;
  }
  // visit(first id, values) of row[id - first_id]; -inf beyond the rank's ids.
  template <class Visit>
  __device__ void for_each_group(const float* row, Visit visit) const {
    for (int group = begin + static_cast<int>(threadIdx.x); group < end; group += kPartThreads) {
      float x[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int at = 4 * group + i - first_id;
        x[i] = at >= 0 && at < ids ? row[at] : -__builtin_inff();
      }
      visit(4 * group, x);
    }
  }
};

}  // namespace penstock::cuda
