#include "tests/nccl/fake_nccl.h"

#include <cstdlib>

namespace {

FakeNccl fake;

}  // namespace

struct ncclComm {
  int polls;
  bool hangs;
  ncclResult_t state;
};

namespace {

ncclResult_t begin(ncclComm& communicator, ncclResult_t state, bool hangs) {
  communicator = {fake.polls, hangs, state};
  return ncclInProgress;
}

ncclResult_t collect(ncclComm& communicator, size_t count, ncclDataType_t dtype) {
  ++fake.collectives;
  fake.count = count, fake.dtype = dtype;
  return begin(communicator, fake.sum_state, fake.hangs);
}

}  // namespace

extern "C" {

FakeNccl* fake_nccl() { return &fake; }

ncclResult_t ncclGetVersion(int* version) {
  const char* wanted = std::getenv("FAKE_NCCL_VERSION");
  *version = wanted ? std::atoi(wanted) : NCCL_VERSION(2, 28, 9);
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) { return result == ncclRemoteError ? "remote trouble" : "trouble"; }
ncclResult_t ncclGetUniqueId(ncclUniqueId*) { return ncclSuccess; }
ncclResult_t ncclGroupStart() { return ++fake.open_groups, ncclSuccess; }
ncclResult_t ncclGroupEnd() { return --fake.open_groups, ncclInProgress; }

ncclResult_t ncclCommInitRankConfig(ncclComm_t* communicator, int ranks, ncclUniqueId, int rank, ncclConfig_t* config) {
  if (config->blocking != 0) fake.blocking = true;
  if (rank == ranks - 1 && fake.init_result != ncclSuccess) return fake.init_result;
  *communicator = new ncclComm;
  ++fake.connected;
  return begin(**communicator, fake.connect_state, false);
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* state) {
  ++fake.waits;
  *state = communicator->hangs || communicator->polls-- > 0 ? ncclInProgress : communicator->state;
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t communicator) {
  ++fake.finalized;
  return begin(*communicator, fake.finalize_state, false);
}
ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  delete communicator;
  return ++fake.destroyed, ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t communicator) {
  delete communicator;
  return ++fake.aborted, ncclSuccess;
}

ncclResult_t ncclAllReduce(const void*, void*, size_t count, ncclDataType_t dtype, ncclRedOp_t, ncclComm_t communicator,
                           cudaStream_t) {
  return collect(*communicator, count, dtype);
}
ncclResult_t ncclAllGather(const void*, void*, size_t count, ncclDataType_t dtype, ncclComm_t communicator,
                           cudaStream_t) {
  return collect(*communicator, count, dtype);
}

}  // extern "C"
