// The CPU bodies of backend.h's ops, one file each, compiled once for every instruction set (instruction_sets.cmake).
// op_dispatch.cpp picks the table that the machine can run. All arithmetic is f32 unless `Precision::bf16` is asked
// for.
#pragma once
#include "kernels/backend.h"
#include "kernels/cpu/thread_pool.h"

namespace penstock::cpu {

// How a bf16 weight meets its f32 input: widened exactly, one order of K for every number of rows (the reference), or
// with the input rounded to bf16 and pairs summed by the hardware (the fast mode).
enum class Precision { f32, bf16 };

struct Ops {
  const char* name;  // of the instruction set
  void (*embed)(ThreadPool&, const Embed&);
  void (*matmul)(ThreadPool&, const Matmul&, Precision);
  void (*rms_norm)(ThreadPool&, const RmsNorm&);
  void (*add_rms_norm)(ThreadPool&, const AddRmsNorm&);
  void (*qk_norm_rope_store)(ThreadPool&, const QkNormRopeStore&);
  void (*paged_attention)(ThreadPool&, const PagedAttention&);
  void (*gated_mul)(ThreadPool&, const GatedMul&);
  void (*soft_cap)(ThreadPool&, const SoftCap&);
  void (*gather_rows)(ThreadPool&, const GatherRows&);
  void (*sample)(ThreadPool&, const Head&);
  void (*score)(ThreadPool&, const Head&);
  void (*find_candidates)(ThreadPool&, const FindCandidates&);
  void (*choose_candidates)(ThreadPool&, const ChooseCandidates&);
  void (*copy_blocks)(ThreadPool&, const CopyBlocks&);

  // No ops: what the machine can do at most, for `penstock bench --ops` to measure against.
  int64_t (*multiply_add)(ThreadPool&, Precision, int64_t rounds);  // returns the FLOPs done
  void (*read_memory)(ThreadPool&, const float* data, int64_t count, int passes);
};

// The best table for this machine; the environment variable PENSTOCK_CPU (avx512, avx2, baseline) can only lower it.
const Ops& ops();

// Every table that this machine can run, best first.
std::span<const Ops* const> runnable_ops();

// These compute next to nothing, so once is enough.
void settle_candidates(const SettleCandidates&);
void prepare_slot(const PrepareSlot&);
void accept_drafts(const AcceptDrafts&);
void draw_from_table(const DrawFromTable&);

}  // namespace penstock::cpu

// Inside an op's file: namespace penstock::cpu::PENSTOCK_ISA { void rms_norm(ThreadPool&, const RmsNorm&) { … } }
#ifdef PENSTOCK_ISA
namespace penstock::cpu::PENSTOCK_ISA {
void embed(ThreadPool&, const Embed&);
void matmul(ThreadPool&, const Matmul&, Precision);
void rms_norm(ThreadPool&, const RmsNorm&);
void add_rms_norm(ThreadPool&, const AddRmsNorm&);
void qk_norm_rope_store(ThreadPool&, const QkNormRopeStore&);
void paged_attention(ThreadPool&, const PagedAttention&);
void gated_mul(ThreadPool&, const GatedMul&);
void soft_cap(ThreadPool&, const SoftCap&);
void gather_rows(ThreadPool&, const GatherRows&);
void sample(ThreadPool&, const Head&);
void score(ThreadPool&, const Head&);
void find_candidates(ThreadPool&, const FindCandidates&);
void choose_candidates(ThreadPool&, const ChooseCandidates&);
void copy_blocks(ThreadPool&, const CopyBlocks&);
int64_t multiply_add(ThreadPool&, Precision, int64_t rounds);
void read_memory(ThreadPool&, const float* data, int64_t count, int passes);
}  // namespace penstock::cpu::PENSTOCK_ISA
#endif
