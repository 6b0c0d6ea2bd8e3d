#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/event_moment.h"
#include "kernels/cuda/make_cuda_backend.h"

namespace penstock::cuda {
namespace {

int64_t free_bytes() {
  size_t available = 0, total = 0;
  PENSTOCK_CUDA(cudaMemGetInfo(&available, &total));
  return static_cast<int64_t>(available);
}

class CapturedStep : public Graph {
 public:
  CapturedStep(cudaGraph_t graph, cudaStream_t stream, std::optional<AttentionPlanKey>& planned)
      : stream_(stream), planned_(planned) {
    const int64_t before = free_bytes();
    cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    if (status == cudaSuccess) status = cudaGraphUpload(executable_, stream);
    if (status != cudaSuccess && executable_) cudaGraphExecDestroy(executable_);
    check(status, "cudaGraphInstantiate");
    bytes_ = std::max<int64_t>(0, before - free_bytes());
  }
  ~CapturedStep() override { cudaGraphExecDestroy(executable_); }
  // The driver takes memory in pieces of some MiB: the sum over new graphs is right, one graph's share is not.
  int64_t bytes() const override { return bytes_; }
  void replay() override {
    planned_.reset();
    PENSTOCK_CUDA(cudaGraphLaunch(executable_, stream_));
  }

 private:
  cudaStream_t stream_;
  std::optional<AttentionPlanKey>& planned_;  // the backend's: the graph plans for itself, in the same memory
  cudaGraphExec_t executable_ = nullptr;
  int64_t bytes_ = 0;
};

// Before the driver starts. Where ranks share a GPU, one's kernels wait for another's, which must not stand behind them
// in a queue: by default streams share eight.
void ask_for_queues() {
  static const int done = ::setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  static_cast<void>(done);
}

// Chooses the device before the members that live on it are made.
int select_device(const BackendOptions& options) {
  ask_for_queues();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess) throw Error(ExitCode::no_device, std::string("no GPU: ") + cudaGetErrorString(status));
  if (options.index >= devices)
    throw Error(ExitCode::no_device,
                "GPU " + std::to_string(options.index) + " of " + std::to_string(devices) + " does not exist");
  if (options.dtype != DType::bf16)
    throw Error(ExitCode::usage, std::string("on a GPU the dtype is bf16, not ") + dtype_name(options.dtype));
  PENSTOCK_CUDA(cudaSetDevice(options.index));
  return options.index;
}

}  // namespace

int num_gpus() {
  ask_for_queues();
  int devices = 0;
  return cudaGetDeviceCount(&devices) == cudaSuccess ? devices : 0;
}

// Whatever fails here fails again, and is reported, when the backend is made.
void warm_up(int index) {
  ask_for_queues();
  std::thread([index] {
    if (cudaSetDevice(index) == cudaSuccess) cudaFree(nullptr);
    cudaGetLastError();
  }).detach();
  std::thread([] {
    if (num_gpus() == 0) return;  // a run on the CPU does not pay for the library
    try {
      cublaslt();
    } catch (const Error&) {
    }
  }).detach();
}

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

CudaBackend::CudaBackend(const BackendOptions& options)
    : index_(select_device(options)), kernels_(options.kernels), poison_memory_(options.poison_memory) {
  int lowest = 0, highest = 0;
  PENSTOCK_CUDA(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  PENSTOCK_CUDA(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, highest));
  PENSTOCK_CUDA(cudaStreamCreateWithPriority(&weight_stream_, cudaStreamNonBlocking, lowest));
}

CudaBackend::~CudaBackend() {
  for (cudaStream_t stream : {stream_, weight_stream_}) {
    cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
  }
}

cudaStream_t CudaBackend::stream() const {
  PENSTOCK_CUDA(cudaSetDevice(index_));
  return stream_;
}

// --- memory ---------------------------------------------------------------------------------------------------------

int64_t CudaBackend::memory_bytes() const {
  PENSTOCK_CUDA(cudaSetDevice(index_));
  return free_bytes();
}

DeviceBuffer CudaBackend::allocate(int64_t bytes) {
  void* data = nullptr;
  PENSTOCK_CUDA(cudaSetDevice(index_));
  check(cudaMalloc(&data, static_cast<size_t>(std::max<int64_t>(bytes, 1))),
        ("cannot allocate " + std::to_string(bytes) + " bytes on the GPU").c_str());
  DeviceBuffer buffer(data, bytes, [](void* memory, int64_t) { cudaFree(memory); });
  if (poison_memory_) {
    // Not on stream_, which may be capturing; other streams may write to it next.
    PENSTOCK_CUDA(cudaMemsetAsync(data, 0xFF, static_cast<size_t>(bytes), cudaStreamPerThread));
    PENSTOCK_CUDA(cudaStreamSynchronize(cudaStreamPerThread));
  }
  return buffer;
}

DeviceBuffer CudaBackend::allocate_staging(int64_t bytes) {
  void* data = nullptr;
  PENSTOCK_CUDA(cudaSetDevice(index_));
  check(cudaHostAlloc(&data, static_cast<size_t>(std::max<int64_t>(bytes, 1)), cudaHostAllocPortable),
        ("cannot pin " + std::to_string(bytes) + " bytes of host memory").c_str());
  return DeviceBuffer(data, bytes, [](void* memory, int64_t) { cudaFreeHost(memory); });
}

// The driver copies pageable memory aside before it returns.
void CudaBackend::upload(void* device, const void* host, int64_t bytes) { upload_later(device, host, bytes); }

void CudaBackend::download(void* host, const void* device, int64_t bytes) {
  download_later(host, device, bytes);
  synchronize();
}

void CudaBackend::upload_later(void* device, const void* staging, int64_t bytes) {
  planned_.reset();
  PENSTOCK_CUDA(cudaMemcpyAsync(device, staging, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream()));
}

void CudaBackend::download_later(void* staging, const void* device, int64_t bytes) {
  PENSTOCK_CUDA(cudaMemcpyAsync(staging, device, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream()));
}

std::unique_ptr<Moment> CudaBackend::mark() { return std::make_unique<EventMoment>(stream()); }

void CudaBackend::fill_zero(void* device, int64_t bytes) {
  PENSTOCK_CUDA(cudaMemsetAsync(device, 0, static_cast<size_t>(bytes), stream()));
}

void CudaBackend::synchronize() { PENSTOCK_CUDA(cudaStreamSynchronize(stream())); }

void* CudaBackend::reserve(Workspace& workspace, int64_t bytes) {
  if (workspace.empty() || workspace.back().bytes() < bytes) workspace.push_back(allocate(bytes));
  return workspace.back().data();
}

// --- graphs ---------------------------------------------------------------------------------------------------------

// While the stream is captured it cannot be waited for, but what came before the capture can.
void CudaBackend::finish_work() {
  if (before_capture_)
    before_capture_->wait();
  else
    synchronize();
}

// A shape's first use may allocate workspace, hence relaxed.
std::unique_ptr<Graph> CudaBackend::record(std::function<void()> step) {
  before_capture_ = mark();
  planned_.reset();
  PENSTOCK_CUDA(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeRelaxed));
  cudaGraph_t graph = nullptr;
  try {
    step();
  } catch (...) {
    before_capture_.reset();
    cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  before_capture_.reset();
  PENSTOCK_CUDA(cudaStreamEndCapture(stream_, &graph));
  planned_.reset();
  return std::make_unique<CapturedStep>(graph, stream_, planned_);
}

// An estimate on the high side; the report says what the captured ones took.
int64_t CudaBackend::graph_bytes(int64_t verbs) const { return verbs * (int64_t{16} << 10); }

}  // namespace penstock::cuda
