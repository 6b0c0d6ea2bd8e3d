// Checks paged attention on the GPU against sums written down plainly in double, then times it.
//   attention_check [check|quick|bench]...   quick: few small shapes, for compute-sanitizer
// Exit code 1 when a result is off.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/paged_attention.h"

using namespace penstock;
using penstock::cuda::check;

namespace {

constexpr uint16_t kNaN = 0x7FFF;

struct Device {
  void* data = nullptr;
  int64_t bytes = 0;
  explicit Device(int64_t size) : bytes(std::max<int64_t>(size, 128)) { PENSTOCK_CUDA(cudaMalloc(&data, bytes)); }
  Device(const Device&) = delete;
  Device(Device&& other) noexcept : data(std::exchange(other.data, nullptr)), bytes(other.bytes) {}
  ~Device() { cudaFree(data); }
  template <class T>
  void upload(const std::vector<T>& host) {
    PENSTOCK_CUDA(cudaMemcpy(data, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
};

struct Shape {
  int64_t heads, kv_heads, head_dim, block_size;
  int64_t window = 0;
  float soft_cap = 0;
};
struct Row {
  int64_t tokens, context;  // new ones, all
};
using Mix = std::vector<Row>;

// The host's picture of a step and its cache; tables are as short as they may be, with wild entries between them.
struct Step {
  std::vector<int32_t> positions, token_rows, row_begin, row_context, row_table, tables;
  std::vector<uint16_t> q, k, v;  // q: [tokens, stride]
};

// The buffers that a captured graph keeps using, for every mix.
struct Bucket {
  Shape shape;
  int64_t tokens, rows, blocks, table_entries;
  int64_t q_cols = (shape.heads + 2 * shape.kv_heads) * shape.head_dim, out_cols = shape.heads * shape.head_dim;
  int64_t out_stride = out_cols + 8;
  int64_t cache_size = blocks * shape.kv_heads * shape.block_size * shape.head_dim;
  int64_t work_bytes = cuda::paged_attention_workspace_bytes(tokens, rows, shape.heads, shape.kv_heads, shape.head_dim);
  Device q{tokens * q_cols * 2}, k{cache_size * 2}, v{cache_size * 2}, out{tokens * out_stride * 2}, work{work_bytes};
  Device positions{tokens * 4}, token_rows{tokens * 4}, row_begin{(rows + 1) * 4}, row_context{rows * 4},
      row_table{rows * 4}, tables{table_entries * 4};

  PagedAttention op() const {
    auto ints = [](const Device& device) { return static_cast<const int32_t*>(device.data); };
    StepView step;
    step.tokens = tokens, step.rows = rows;
    step.positions = ints(positions), step.token_rows = ints(token_rows), step.row_begin = ints(row_begin);
    step.row_context = ints(row_context), step.row_table = ints(row_table), step.block_tables = ints(tables);
    return {.out = {out.data, DType::bf16, tokens, out_cols, out_stride},
            .qkv = {q.data, DType::bf16, tokens, q_cols, q_cols},
            .heads = shape.heads,
            .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
            .window = shape.window,
            .soft_cap = shape.soft_cap,
            .cache = {k.data, v.data, DType::bf16, blocks, shape.kv_heads, shape.block_size, shape.head_dim},
            .step = step};
  }
  void upload(const Step& step) {
    q.upload(step.q), k.upload(step.k), v.upload(step.v);
    positions.upload(step.positions), token_rows.upload(step.token_rows), row_begin.upload(step.row_begin);
    row_context.upload(step.row_context), row_table.upload(step.row_table), tables.upload(step.tables);
  }
};

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t cache_at(const Bucket& b, int64_t block, int64_t kv_head, int64_t in_block) {
  return ((block * b.shape.kv_heads + kv_head) * b.shape.block_size + in_block) * b.shape.head_dim;
}

// Random queries, keys and values where a row has them, NaN everywhere else. Neighbours share their first block, as a
// prefix cache makes them, when both have two.
Step make_step(const Bucket& bucket, const Mix& mix, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const Shape& shape = bucket.shape;
  Step step;
  step.q.assign(bucket.tokens * bucket.q_cols, kNaN);
  step.k.assign(bucket.cache_size, kNaN), step.v.assign(bucket.cache_size, kNaN);
  step.positions.assign(bucket.tokens, -1), step.token_rows.assign(bucket.tokens, 0);
  step.row_begin.assign(bucket.rows + 1, 0), step.row_context.assign(bucket.rows, 0);
  step.row_table.assign(bucket.rows, 0), step.tables.assign(bucket.table_entries, 1 << 28);
  std::vector<int32_t> free(bucket.blocks);
  std::iota(free.begin(), free.end(), 0);
  std::shuffle(free.begin(), free.end(), random);
  int64_t token = 0, table = 3;
  for (size_t r = 0; r < mix.size(); r++) {
    const auto [tokens, context] = mix[r];
    const int64_t blocks = divide_up(context, shape.block_size);
    step.row_table[r] = static_cast<int32_t>(table), step.row_context[r] = static_cast<int32_t>(context);
    for (int64_t i = 0; i < blocks; i++, table++) {
      const bool shared = i == 0 && r > 0 && context - tokens > shape.block_size &&
                          mix[r - 1].context - mix[r - 1].tokens > shape.block_size;
      if (shared) {
        step.tables[table] = step.tables[step.row_table[r - 1]];
        continue;
      }
      if (free.empty() || table >= bucket.table_entries) throw Error(ExitCode::internal, "the bucket is too small");
      step.tables[table] = free.back();
      free.pop_back();
      for (int64_t h = 0; h < shape.kv_heads; h++)
        for (int64_t p = 0; p < std::min(shape.block_size, context - i * shape.block_size); p++)
          for (int64_t d = 0, at = cache_at(bucket, step.tables[table], h, p); d < shape.head_dim; d++, at++)
            step.k[at] = f32_to_bf16(normal(random)), step.v[at] = f32_to_bf16(normal(random) + 0.25f);
    }
    table += 2;
    for (int64_t i = 0; i < tokens; i++, token++) {
      step.positions[token] = static_cast<int32_t>(context - tokens + i);
      step.token_rows[token] = static_cast<int32_t>(r);
      for (int64_t c = 0; c < bucket.out_cols; c++)
        step.q[token * bucket.q_cols + c] = f32_to_bf16(2.0f * normal(random));
    }
    step.row_begin[r + 1] = static_cast<int32_t>(token);
  }
  for (int64_t r = mix.size(); r < bucket.rows; r++) step.row_begin[r + 1] = static_cast<int32_t>(token);
  return step;
}

// What one head of one token should give, and how far off it may be. Weights are rounded to bf16 before they meet the
// values (2^-9 of each term), so is the output (2^-9 of it); scores, exponentials and sums in f32 add less than 2^-14.
void expected(const Bucket& bucket, const Step& step, int64_t token, int64_t head, std::vector<double>& out,
              std::vector<double>& bound) {
  const Shape& shape = bucket.shape;
  const int64_t row = step.token_rows[token], kv_head = head / (shape.heads / shape.kv_heads), dims = shape.head_dim;
  const int64_t last = step.positions[token], first = shape.window ? std::max<int64_t>(0, last - shape.window + 1) : 0;
  std::vector<float> query(dims);
  for (int64_t d = 0; d < dims; d++) query[d] = bf16_to_f32(step.q[token * bucket.q_cols + head * dims + d]);
  auto at = [&](int64_t p) {
    return cache_at(bucket, step.tables[step.row_table[row] + p / shape.block_size], kv_head, p % shape.block_size);
  };
  std::vector<double> weights;
  for (int64_t p = first; p <= last; p++) {
    double score = 0;
    for (int64_t d = 0, from = at(p); d < dims; d++) score += query[d] * bf16_to_f32(step.k[from + d]);
    score *= bucket.op().scale;
    weights.push_back(shape.soft_cap > 0 ? shape.soft_cap * std::tanh(score / shape.soft_cap) : score);
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  out.assign(dims, 0), bound.assign(dims, 0);
  for (int64_t p = first; p <= last; p++)
    for (int64_t d = 0, from = at(p); d < dims; d++) {
      const double term = weights[p - first] / total * bf16_to_f32(step.v[from + d]);
      out[d] += term, bound[d] += std::abs(term);
    }
  for (int64_t d = 0; d < dims; d++) bound[d] = (0x1p-9 + 0x1p-14) * (bound[d] + std::abs(out[d]));
}

struct Comparison {
  int64_t wrong = 0;
  double worst = 0;  // of difference / bound
};

// `shift` compares with another token's expectation: a check of the check.
Comparison compare(const Bucket& bucket, const Step& step, const std::vector<uint16_t>& out, int64_t shift) {
  const int64_t real = step.row_begin[bucket.rows], dims = bucket.shape.head_dim;
  std::atomic<int64_t> next = 0, wrong = 0;
  std::atomic<double> worst = 0;
  auto work = [&] {
    std::vector<double> want, bound;
    for (int64_t token; (token = next++) < bucket.tokens;) {
      const uint16_t* got = out.data() + token * bucket.out_stride;
      for (int64_t c = bucket.out_cols; c < bucket.out_stride; c++) wrong += got[c] != kNaN;  // not ours to write
      for (int64_t head = 0; head < bucket.shape.heads; head++) {
        if (token < real) expected(bucket, step, (token + shift) % real, head, want, bound);
        for (int64_t d = 0; d < dims; d++) {
          const double value = bf16_to_f32(got[head * dims + d]);
          const double off = token < real ? std::abs(value - want[d]) / bound[d] : value == 0 ? 0.0 : 1e9;
          if (!(off <= 1)) wrong++;
          for (double old = worst; off > old && !worst.compare_exchange_weak(old, off);) {}
        }
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); i++) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  return {wrong, worst};
}

cudaGraphExec_t capture(cudaStream_t stream, const auto& enqueue) {
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  PENSTOCK_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  enqueue();
  PENSTOCK_CUDA(cudaStreamEndCapture(stream, &graph));
  PENSTOCK_CUDA(cudaGraphInstantiate(&exec, graph, 0));
  PENSTOCK_CUDA(cudaGraphDestroy(graph));
  return exec;
}

std::string describe(const Shape& s) {
  char text[160];
  std::snprintf(text, sizeof text, "heads %2ld/%ld head_dim %3ld block %3ld window %4ld cap %2.0f", s.heads, s.kv_heads,
                s.head_dim, s.block_size, s.window, s.soft_cap);
  return text;
}

// One graph, captured before any mix is known, replayed for all of them. Returns how many elements are wrong.
int64_t check_mixes(cudaStream_t stream, const Shape& shape, int64_t tokens, int64_t rows, const std::vector<Mix>& mixes) {
  int64_t blocks = 1, entries = 8;
  for (const Mix& mix : mixes) {
    int64_t wanted = 0;
    for (const Row& row : mix) wanted += divide_up(row.context, shape.block_size) + 2;
    blocks = std::max(blocks, wanted), entries = std::max(entries, wanted + 8);
  }
  Bucket bucket{.shape = shape, .tokens = tokens, .rows = rows, .blocks = blocks, .table_entries = entries};
  auto graph =
      capture(stream, [&] { cuda::paged_attention(bucket.op(), bucket.work.data, bucket.work_bytes, stream); });
  int64_t wrong = 0;
  for (size_t m = 0; m < mixes.size(); m++) {
    const Step step = make_step(bucket, mixes[m], static_cast<uint32_t>(m + shape.head_dim));
    bucket.upload(step);
    std::vector<uint16_t> out(tokens * bucket.out_stride, kNaN), again = out;
    for (auto* result : {&out, &again}) {
      bucket.out.upload(std::vector<uint16_t>(out.size(), kNaN));
      PENSTOCK_CUDA(cudaMemset(bucket.work.data, 0xFF, bucket.work_bytes));
      PENSTOCK_CUDA(cudaGraphLaunch(graph, stream));
      PENSTOCK_CUDA(cudaStreamSynchronize(stream));
      PENSTOCK_CUDA(cudaMemcpy(result->data(), bucket.out.data, out.size() * 2, cudaMemcpyDeviceToHost));
    }
    Comparison comparison = compare(bucket, step, out, 0);
    if (out != again) comparison.wrong++, std::printf("two runs differ\n");
    if (m == 0 && step.row_begin[rows] > 1 && compare(bucket, step, out, 1).wrong == 0)
      comparison.wrong++, std::printf("the comparison is blind\n");
    std::printf("%s mix %zu: %ld wrong, worst %.2f of the bound\n", describe(shape).c_str(), m, comparison.wrong,
                comparison.worst);
    wrong += comparison.wrong;
  }
  PENSTOCK_CUDA(cudaGraphExecDestroy(graph));
  std::fflush(stdout);
  return wrong;
}

int64_t check_all(cudaStream_t stream) {
  const std::vector<Mix> mixes = {
      {{300, 300}, {1, 4097}, {127, 4097}, {3, 17}, {8, 16}, {9, 15 + 9}, {1, 1}},
      {{1, 15}, {1, 16}, {0, 0}, {1, 17}, {8, 4097}, {9, 9}, {127, 127}, {0, 500}, {3, 1000}, {300, 1324}, {1, 300}},
      {{9, 4097}},
      {{1, 4097}, {1, 4097}, {3, 3}, {8, 8}},
      {},
  };
  int64_t wrong = 0;
  for (int64_t head_dim : {64, 80, 96, 112, 120, 128, 256})
    for (int64_t group : {1, 4, 7, 8}) {
      const int64_t block = int64_t{16} << (head_dim / 8 + group) % 4;
      wrong += check_mixes(stream, {2 * group, 2, head_dim, block}, 512, 12, mixes);
    }
  for (int64_t block : {16, 32, 64, 128})
    for (int64_t head_dim : {64, 128, 256}) {
      wrong += check_mixes(stream, {8, 2, head_dim, block, 100}, 512, 12, mixes);
      wrong += check_mixes(stream, {6, 3, head_dim, block, 0, 30}, 512, 12, mixes);
      wrong += check_mixes(stream, {4, 1, head_dim, block, 1024, 50}, 512, 12, mixes);
    }
  wrong += check_mixes(stream, {4, 1, 128, 16, 1}, 512, 12, mixes);
  wrong += check_mixes(stream, {8, 8, 128, 64}, 8, 12, {{{1, 4097}}, {{8, 300}}, {{1, 1}, {2, 100}, {5, 2000}}});
  wrong += check_mixes(stream, {4, 1, 64, 16}, 1400, 1200, {Mix(1200, {1, 40}), Mix(150, {9, 70})});
  return wrong;
}

int64_t check_quick(cudaStream_t stream) {
  const std::vector<Mix> mixes = {{{40, 40}, {1, 300}, {9, 1200}, {3, 17}, {1, 1}, {0, 0}, {8, 530}}};
  int64_t wrong = 0;
  for (int64_t head_dim : {64, 80, 128, 256})
    wrong += check_mixes(stream, {8, 2, head_dim, 16, head_dim == 80 ? 50 : 0}, 64, 8, mixes);
  return wrong;
}

// ------------------------------------------------------------------------------------------------------------ timing

__global__ void fill_random(uint16_t* out, int64_t count, uint32_t seed) {
  for (int64_t i = blockIdx.x * 256l + threadIdx.x; i < count; i += gridDim.x * 256l) {
    uint64_t x = (i + 1) * 0x9E3779B97F4A7C15ull + seed;  // splitmix64; four uniforms make nearly a normal one
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    x ^= x >> 31;
    const float sum = (x & 0xFFFF) + (x >> 16 & 0xFFFF) + (x >> 32 & 0xFFFF) + (x >> 48 & 0xFFFF);
    out[i] = static_cast<uint16_t>(__float_as_uint((sum / 65536.0f - 2.0f) * 1.7f) >> 16);
  }
}

// Median seconds of a replay.
double time_graph(cudaStream_t stream, cudaGraphExec_t graph) {
  cudaEvent_t begin, end;
  PENSTOCK_CUDA(cudaEventCreate(&begin));
  PENSTOCK_CUDA(cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = 0; i < 13; i++) {
    PENSTOCK_CUDA(cudaEventRecord(begin, stream));
    PENSTOCK_CUDA(cudaGraphLaunch(graph, stream));
    PENSTOCK_CUDA(cudaEventRecord(end, stream));
    PENSTOCK_CUDA(cudaEventSynchronize(end));
    float milliseconds;
    PENSTOCK_CUDA(cudaEventElapsedTime(&milliseconds, begin, end));
    if (i >= 3) times.push_back(milliseconds);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2] * 1e-3;
}

double copy_bandwidth(cudaStream_t stream) {  // bytes read and written a second
  const int64_t bytes = int64_t{4} << 30;
  Device from(bytes), to(bytes);
  fill_random<<<1024, 256, 0, stream>>>(static_cast<uint16_t*>(from.data), bytes / 2, 1);
  auto graph = capture(stream, [&] {
    PENSTOCK_CUDA(cudaMemcpyAsync(to.data, from.data, bytes, cudaMemcpyDeviceToDevice, stream));
  });
  return 2.0 * bytes / time_graph(stream, graph);
}

// Several calls a graph, over as many caches, so that none finds its keys in the L2 cache.
void bench(cudaStream_t stream, const char* name, const Shape& shape, const Mix& mix, double bandwidth) {
  constexpr int kCopies = 4, kCalls = 8;
  int64_t tokens = 0, blocks = 0;
  double pairs = 0, bytes = 0;
  for (const Row& row : mix) {
    tokens += row.tokens, blocks += divide_up(row.context, shape.block_size);
    pairs += static_cast<double>(row.tokens) * row.context - row.tokens * (row.tokens - 1) / 2.0;
    bytes += 4.0 * row.context * shape.kv_heads * shape.head_dim;
  }
  const int64_t rows = mix.size();
  std::vector<Bucket> buckets;
  buckets.reserve(kCopies);
  for (int c = 0; c < kCopies; c++) {
    buckets.push_back({.shape = shape, .tokens = tokens, .rows = rows, .blocks = blocks, .table_entries = blocks});
    Bucket& bucket = buckets.back();
    for (Device* device : {&bucket.q, &bucket.k, &bucket.v})
      fill_random<<<1024, 256, 0, stream>>>(static_cast<uint16_t*>(device->data), device->bytes / 2, c * 7919 + 1);
    std::vector<int32_t> positions, begin{0}, context, table, tables(blocks);
    std::iota(tables.begin(), tables.end(), 0);
    std::shuffle(tables.begin(), tables.end(), std::mt19937(5));
    for (int64_t used = 0; const Row& row : mix) {
      for (int64_t i = 0; i < row.tokens; i++) positions.push_back(static_cast<int32_t>(row.context - row.tokens + i));
      begin.push_back(static_cast<int32_t>(positions.size())), context.push_back(static_cast<int32_t>(row.context));
      table.push_back(static_cast<int32_t>(used)), used += divide_up(row.context, shape.block_size);
    }
    bucket.positions.upload(positions), bucket.row_begin.upload(begin), bucket.row_context.upload(context);
    bucket.row_table.upload(table), bucket.tables.upload(tables);
  }
  auto graph = capture(stream, [&] {
    for (int i = 0; i < kCalls; i++) {
      const Bucket& bucket = buckets[i % kCopies];
      cuda::paged_attention(bucket.op(), bucket.work.data, bucket.work_bytes, stream);
    }
  });
  const double seconds = time_graph(stream, graph) / kCalls;
  std::printf("%-28s %s: %8.1f us  %6.1f TFLOP/s  %7.1f GB/s, %5.1f %% of the copy's; workspace %.1f MB\n", name,
              describe(shape).c_str(), seconds * 1e6, 4e-12 * pairs * shape.heads * shape.head_dim / seconds,
              bytes / seconds * 1e-9, 100 * bytes / seconds / bandwidth, buckets[0].work_bytes * 1e-6);
  std::fflush(stdout);
  PENSTOCK_CUDA(cudaGraphExecDestroy(graph));
}

void bench_all(cudaStream_t stream) {
  const double bandwidth = copy_bandwidth(stream);
  std::printf("copy: %.1f GB/s read and written\n", bandwidth * 1e-9);
  const Shape llama{32, 8, 128, 64};
  bench(stream, "prefill 4x4k", llama, Mix(4, {4096, 4096}), bandwidth);
  bench(stream, "prefill 4x4k", {32, 8, 64, 64}, Mix(4, {4096, 4096}), bandwidth);
  bench(stream, "prefill 4x4k", {32, 8, 96, 64}, Mix(4, {4096, 4096}), bandwidth);
  bench(stream, "prefill 4x4k", {16, 8, 256, 64}, Mix(4, {4096, 4096}), bandwidth);
  bench(stream, "prefill 4x4k window 1k", {32, 8, 128, 64, 1024}, Mix(4, {4096, 4096}), bandwidth);
  bench(stream, "prefill 32x512", llama, Mix(32, {512, 512}), bandwidth);
  bench(stream, "chunk 512 after 15.5k", llama, Mix(1, {512, 16384}), bandwidth);
  bench(stream, "decode 64x4k", llama, Mix(64, {1, 4096}), bandwidth);
  bench(stream, "decode 64x4k", {32, 8, 128, 16}, Mix(64, {1, 4096}), bandwidth);
  bench(stream, "decode 64x4k", {32, 8, 64, 64}, Mix(64, {1, 4096}), bandwidth);
  bench(stream, "decode 64x4k", {32, 8, 96, 64}, Mix(64, {1, 4096}), bandwidth);
  bench(stream, "decode 64x4k", {16, 8, 256, 64}, Mix(64, {1, 4096}), bandwidth);
  bench(stream, "verify 4 64x4k", llama, Mix(64, {4, 4096}), bandwidth);
  bench(stream, "verify 8 64x4k", llama, Mix(64, {8, 4096}), bandwidth);
  bench(stream, "decode 256x1k", llama, Mix(256, {1, 1024}), bandwidth);
  bench(stream, "decode 8x4k", llama, Mix(8, {1, 4096}), bandwidth);
  bench(stream, "decode 1x32k", llama, Mix(1, {1, 32768}), bandwidth);
  Mix mixed(63, {1, 1024});
  mixed.push_back({1, 65536});
  bench(stream, "decode 63x1k + 64k", llama, mixed, bandwidth);
}

}  // namespace

int main(int argc, char** argv) try {
  cudaStream_t stream;
  PENSTOCK_CUDA(cudaStreamCreate(&stream));
  int64_t wrong = 0;
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    if (word == "check") wrong += check_all(stream);
    if (word == "quick") wrong += check_quick(stream);
    if (word == "bench") bench_all(stream);
  }
  PENSTOCK_CUDA(cudaStreamSynchronize(stream));
  std::printf("%ld wrong\n", wrong);
  return wrong != 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
