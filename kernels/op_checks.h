// What backend.h asks of an op's arguments, checked once for every backend before the op runs: Error(internal) names
// the dimension that disagrees. Contents of device arrays are not looked at.
#pragma once
#include "kernels/backend.h"

namespace penstock {

void check(const Embed&, DType activation);
void check(const Matmul&, DType activation);
void check(const RmsNorm&, DType activation);
void check(const AddRmsNorm&, DType activation);
void check(const QkNormRopeStore&, DType activation);
void check(const PagedAttention&, DType activation);
void check(const GatedMul&, DType activation);
void check(const SoftCap&);
void check(const GatherRows&, DType activation);
void check(const Head&);
void check(const AcceptDrafts&);
void check(const DrawFromTable&);
void check(const FindCandidates&);
void check(const ChooseCandidates&);
void check(const SettleCandidates&);
void check(const CopyBlocks&);
void check(const PrepareSlot&);

}  // namespace penstock
