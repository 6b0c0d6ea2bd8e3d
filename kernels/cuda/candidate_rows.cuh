// A rank's part of a row of logits, as the kernels of find_candidates and choose_candidates see it: a block takes a
// part of that.
#pragma once
#include "kernels/cuda/head_rows.cuh"
#include "kernels/cuda/warp.cuh"

namespace penstock::cuda {

struct PartRows {
  const float* logits;
  float* edited;
  int64_t stride, edited_stride;
  int32_t first_id, ids;
  bool aligned;  // groups of four ids lie at multiples of 16 bytes
};

inline PartRows rows_of(const RankLogits& part) {
  const auto is_aligned = [](const Tensor& x) {
    return reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && x.stride % 4 == 0;
  };
  return {.logits = static_cast<const float*>(part.logits.data),
          .edited = static_cast<float*>(part.edited.data),
          .stride = part.logits.stride,
          .edited_stride = part.edited.stride,
          .first_id = static_cast<int32_t>(part.first_id),
          .ids = static_cast<int32_t>(part.ids),
          .aligned = part.first_id % 4 == 0 && is_aligned(part.logits) && is_aligned(part.edited)};
}

// In groups of four ids, as random words come.
struct BlockIds {
  int32_t first_id, ids;  // the rank's
  bool aligned;
  int begin, end;  // groups of this block

  __device__ BlockIds(const PartRows& rows, int part) : first_id(rows.first_id), ids(rows.ids), aligned(rows.aligned) {
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
#pragma unroll 2
    for (int group = begin + static_cast<int>(threadIdx.x); group < end; group += static_cast<int>(blockDim.x)) {
      const int first = 4 * group - first_id;
      float x[4];
      if (aligned && first + 4 <= ids) {
        const float4 all = *reinterpret_cast<const float4*>(row + first);
        x[0] = all.x, x[1] = all.y, x[2] = all.z, x[3] = all.w;
      } else {
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = first + i >= 0 && first + i < ids ? row[first + i] : -__builtin_inff();
      }
      visit(4 * group, x);
    }
  }
};

}  // namespace penstock::cuda
