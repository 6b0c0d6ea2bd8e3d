// Not a test: our matmul beside oneDNN's on the same shapes, alternating in one run (scripts/profile.sh matmul). oneDNN
// gets what suits it best: weights packed by its matmul primitive, or dnnl_sgemm, each worker on its slice of the
// columns.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/packed_weight.h"

using namespace penstock;
using dnnl::memory;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Shape {
  int64_t rows, out, in;
};

std::vector<float> normal(int64_t count, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> values(count);
  for (float& value : values) value = draw(random);
  return values;
}

Weight packed(const std::vector<float>& values, const Shape& s, DType dtype) {
  Weight weight{cpu::allocate_host(cpu::packed_bytes(s.out, s.in, dtype)), dtype, s.out, s.in};
  cpu::pack_rows(weight, 0, {values.data(), DType::f32, s.out, s.in, s.in});
  return weight;
}

// One worker's slice [begin, end) of the output features.
class OneDnnSlice {
 public:
  OneDnnSlice(const Shape& s, int64_t begin, int64_t end, memory::data_type type, void* x, const float* weight,
              float* out)
      : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    memory::desc a({s.rows, s.in}, type, memory::dims{s.in, 1});
    memory::desc b({s.in, end - begin}, type, memory::format_tag::any);
    memory::desc c({s.rows, end - begin}, memory::data_type::f32, memory::dims{s.out, 1});
    dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(a, b, c), engine_);
    a_ = memory(a, engine_, x);
    b_ = memory(desc.weights_desc(), engine_);
    c_ = memory(c, engine_, out + begin);
    memory plain({{s.in, end - begin}, memory::data_type::f32, memory::dims{1, s.in}}, engine_,
                 const_cast<float*>(weight + begin * s.in));
    dnnl::reorder(plain, b_).execute(stream_, plain, b_);
    stream_.wait();
    matmul_ = dnnl::matmul(desc);
  }
  void run() { matmul_.execute(stream_, {{DNNL_ARG_SRC, a_}, {DNNL_ARG_WEIGHTS, b_}, {DNNL_ARG_DST, c_}}); }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  memory a_, b_, c_;
  dnnl::matmul matmul_;
};

// Median seconds of each candidate; the candidates take turns.
std::vector<double> race(const std::vector<std::function<void()>>& candidates, double flops) {
  const int calls = std::clamp(static_cast<int>(4e8 / flops), 1, 200);
  std::vector<std::vector<double>> seconds(candidates.size());
  for (int round = 0; round < 15; ++round) {
    for (size_t i = 0; i < candidates.size(); ++i) {
      const double start = now();
      for (int call = 0; call < calls; ++call) candidates[i]();
      seconds[i].push_back((now() - start) / calls);
    }
  }
  std::vector<double> medians;
  for (auto& all : seconds) {
    std::nth_element(all.begin(), all.begin() + all.size() / 2, all.end());
    medians.push_back(all[all.size() / 2]);
  }
  return medians;
}

void compare(const Shape& s, cpu::ThreadPool& pool) {
  std::vector<float> x = normal(s.rows * s.in, 1), w = normal(s.out * s.in, 2), out(s.rows * s.out);
  std::vector<uint16_t> x_bf16(x.size());
  std::transform(x.begin(), x.end(), x_bf16.begin(), f32_to_bf16);
  const Weight f32 = packed(w, s, DType::f32), bf16 = packed(w, s, DType::bf16);

  auto ours = [&](const Weight& weight, cpu::Precision precision) {
    return [&, precision] {
      cpu::ops().matmul(pool,
                        {.out = {out.data(), DType::f32, s.rows, s.out, s.out},
                         .x = {x.data(), DType::f32, s.rows, s.in, s.in},
                         .weight = weight},
                        precision);
    };
  };
  auto border = [&](int worker) { return s.out / 16 * worker / pool.size() * 16; };
  auto slices = [&](memory::data_type type, void* input) {
    auto all = std::make_shared<std::vector<std::unique_ptr<OneDnnSlice>>>();
    for (int i = 0; i < pool.size(); ++i)
      all->push_back(std::make_unique<OneDnnSlice>(s, border(i), border(i + 1), type, input, w.data(), out.data()));
    return [all, &pool] {
      auto body = [&](int worker) { (*all)[worker]->run(); };
      pool.run(body);
    };
  };
  auto sgemm = [&] {
    auto body = [&](int worker) {
      const int64_t begin = border(worker), end = border(worker + 1);
      dnnl_sgemm('N', 'T', s.rows, end - begin, s.in, 1, x.data(), s.in, w.data() + begin * s.in, s.in, 0,
                 out.data() + begin, s.out);
    };
    pool.run(body);
  };
  const double flops = 2.0 * s.rows * s.out * s.in;
  std::vector<double> t = race(
      {ours(f32, cpu::Precision::f32), slices(memory::data_type::f32, x.data()), sgemm, ours(bf16, cpu::Precision::f32),
       ours(bf16, cpu::Precision::bf16), slices(memory::data_type::bf16, x_bf16.data())},
      flops);
  auto rate = [&](int i) { return flops / t[i] * 1e-9; };
  std::printf("%5ld x %5ld x %5ld   f32 %5.0f (%.2f x oneDNN)   bf16 widened %5.0f   bf16 %5.0f (%.2f x oneDNN)\n",
              s.rows, s.out, s.in, rate(0), std::min(t[1], t[2]) / t[0], rate(3), rate(4), t[5] / t[4]);
}

}  // namespace

int main() {
  cpu::ThreadPool pool(2);
  std::puts("rows x out x in, GFLOP/s");
  for (int64_t rows : {1, 32, 512})
    for (auto [out, in] : {std::pair{960, 576}, {576, 576}, {3072, 576}, {576, 1536}, {49152, 576}})
      compare({rows, out, in}, pool);
}
