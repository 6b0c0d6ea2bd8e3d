// The tensor cores' instructions of sm_80 and up, and a tile of bf16 rows in shared memory that they read without bank
// conflicts. Fragments are as PTX lays them out: lane = 4 g + t holds of an m16n8 accumulator rows g and g + 8, columns
// 2t and 2t + 1.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/cuda/vector.cuh"

namespace penstock::cuda {

// Sixteen bytes into shared memory, past the registers and L1; zeros (and no access) when not `wanted`.
__device__ inline void copy_async16(uint32_t to, const void* from, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(wanted ? 16 : 0) : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until at most kPending of this thread's committed groups are under way.
template <int kPending>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four 8x8 matrices; lane l gives the address of row l % 8 of matrix l / 8.
__device__ inline void load_matrices(uint32_t (&out)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_matrices_transposed(uint32_t (&out)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
}

// c += a [16, 16] · b [16, 8]
__device__ inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline uint32_t pack_bf16(float low, float high) {
  __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<uint32_t*>(&pair);
}

// Rows of kDim bf16 in shared memory. A row's 16-byte pieces are permuted by the row's number, so that the same piece
// of eight rows in a row lies in eight different bank groups.
template <int kDim>
struct SwizzledRows {
  static_assert(kDim % 32 == 0);
  static constexpr int kRowBytes = kDim * 2;
  static constexpr int kPieces = kDim / 8;

  __device__ static uint32_t permutation(int row) { return kDim % 64 == 0 ? row & 7 : (row >> 1) & 3; }
  __device__ static uint32_t offset(int row, int piece) { return row * kRowBytes + ((piece ^ permutation(row)) << 4); }
};

// What a lane adds to a tile's address to take part in loading 16 rows x 16 columns as four matrices.
template <int kDim>
struct LaneInTile {
  uint32_t row_bytes, piece;

  // Matrices in the order (rows 0-7, columns 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15): A, and B of transposed
  // loads.
  __device__ static LaneInTile rows_first(int lane) { return {lane % 16, lane / 16}; }
  // (0-7, 0-7), (0-7, 8-15), (8-15, 0-7), (8-15, 8-15): B when its rows are the columns of the product.
  __device__ static LaneInTile columns_first(int lane) { return {lane % 8 + lane / 16 * 8, lane / 8 % 2}; }

  // `row` a multiple of 16, `piece_pair` counts 16 columns.
  __device__ uint32_t at(int row, int piece_pair) const {
    return row_bytes + row * SwizzledRows<kDim>::kRowBytes + (((2 * piece_pair) ^ piece) << 4);
  }

 private:
  __device__ LaneInTile(int row, int half)
      : row_bytes(row * SwizzledRows<kDim>::kRowBytes), piece(half ^ SwizzledRows<kDim>::permutation(row)) {}
};

}  // namespace penstock::cuda
