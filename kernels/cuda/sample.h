// The head of a step: tokens drawn from rows of logits, and given tokens scored.
#pragma once
#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace penstock::cuda {

// Device memory that either verb needs: rows with edits keep their edited logits there.
int64_t sample_workspace_bytes(int64_t rows, int64_t vocab);

// Enqueued on `stream`; may be captured. What is launched depends on the shape of the logits alone.
void sample(const Head& op, void* workspace, int64_t workspace_bytes, cudaStream_t stream);
void score(const Head& op, void* workspace, int64_t workspace_bytes, cudaStream_t stream);

// The way of sm_90, where a row fits the shared memory of a cluster: without a workspace.
bool fits_cluster(const Head& op);
void sample_in_clusters(const Head& op, cudaStream_t stream);
void score_in_clusters(const Head& op, cudaStream_t stream);

// Of several ranks, in place of the above for most rows.
void find_candidates(const FindCandidates& op, cudaStream_t stream);
void choose_candidates(const ChooseCandidates& op, cudaStream_t stream);
void settle_candidates(const SettleCandidates& op, cudaStream_t stream);

}  // namespace penstock::cuda
