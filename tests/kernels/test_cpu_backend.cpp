#include <vector>

#include "kernels/backend.h"
#include "tests/support/catch.h"

using namespace penstock;

namespace {

std::unique_ptr<Backend> cpu_backend(DType dtype, bool poison = false) {
  return make_backend({.dtype = dtype, .threads = 2, .poison_memory = poison});
}

ExitCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::ok;
}

}  // namespace

TEST_CASE("memory is aligned, copied there and back, and poisoned on request", "[cpu]") {
  auto backend = cpu_backend(DType::f32, true);
  REQUIRE(backend->memory_bytes() > 0);
  for (int64_t bytes : {int64_t{1}, int64_t{1000}, int64_t{9} << 20}) {
    DeviceBuffer buffer = backend->allocate(bytes);
    REQUIRE(reinterpret_cast<uintptr_t>(buffer.data()) % 128 == 0);
    REQUIRE(buffer.bytes() == bytes);
    REQUIRE(buffer.as<unsigned char>()[bytes - 1] == 0xFF);
    unsigned char sent = 42, received = 0;
    backend->upload(buffer.as<char>() + bytes - 1, &sent, 1);
    backend->download(&received, buffer.as<char>() + bytes - 1, 1);
    REQUIRE(received == 42);
    backend->fill_zero(buffer.data(), bytes);
    REQUIRE(buffer.as<unsigned char>()[bytes - 1] == 0);
  }
}

TEST_CASE("what the machine cannot give is no_device, what nobody has is usage", "[cpu]") {
  // A GPU computes in bf16 only.
  const ExitCode f32_on_a_gpu = num_gpus() > 0 ? ExitCode::usage : ExitCode::no_device;
  REQUIRE(code_of([] { make_backend({.device = DeviceKind::cuda}); }) == f32_on_a_gpu);
  REQUIRE(code_of([] { cpu_backend(DType::f32)->allocate(int64_t{1} << 62); }) == ExitCode::no_device);
  REQUIRE(code_of([] { cpu_backend(DType::f16); }) == ExitCode::usage);
}

TEST_CASE("f32 mode stores weights exactly, bf16 mode stores bf16", "[cpu]") {
  auto exact = cpu_backend(DType::f32), fast = cpu_backend(DType::bf16);
  REQUIRE(exact->kv_dtype() == DType::f32);
  REQUIRE(fast->kv_dtype() == DType::bf16);
  for (DType checkpoint : {DType::f32, DType::f16, DType::bf16}) {
    Weight weight = exact->allocate_weight(70, 33, checkpoint);
    REQUIRE(weight.dtype == (checkpoint == DType::bf16 ? DType::bf16 : DType::f32));
    REQUIRE(weight.storage.bytes() == exact->weight_bytes(70, 33, checkpoint));
    REQUIRE(fast->allocate_weight(70, 33, checkpoint).dtype == DType::bf16);
  }
}

TEST_CASE("a verb names the dimension that disagrees", "[cpu]") {
  auto backend = cpu_backend(DType::f32);
  DeviceBuffer memory = backend->allocate(4096);
  Weight weight = backend->allocate_weight(8, 6, DType::f32);
  Tensor x = memory.matrix(DType::f32, 2, 6), out = memory.matrix(DType::f32, 2, 8);
  auto matmul = [&](Tensor to, Tensor from) { backend->matmul({.out = to, .x = from, .weight = weight}); };
  REQUIRE_THROWS_WITH(matmul(out, memory.matrix(DType::f32, 2, 7)), ContainsSubstring("x has in_features = 7"));
  REQUIRE_THROWS_WITH(matmul(out.columns(0, 7), x), ContainsSubstring("out has out_features = 7"));
  REQUIRE_THROWS_WITH(matmul(out.first_rows(1), x), ContainsSubstring("out has tokens = 1, expected 2"));
  REQUIRE_THROWS_WITH(matmul(out, memory.matrix(DType::bf16, 2, 6)), ContainsSubstring("x is bf16, expected f32"));
  REQUIRE(code_of([&] { matmul(x, x); }) == ExitCode::internal);
}

TEST_CASE("a recorded step runs when it is replayed, each time, on what its buffers hold then", "[cpu]") {
  auto backend = cpu_backend(DType::f32);
  std::vector<float> w = {1, 2, 3, 4}, x = {1, 1}, result(2);
  Weight weight = backend->allocate_weight(2, 2, DType::f32);
  backend->store_weight(weight, 0, {w.data(), DType::f32, 2, 2, 2});
  DeviceBuffer in = backend->allocate(8), out = backend->allocate(8);
  auto graph = backend->record([&] {
    backend->matmul({.out = out.matrix(DType::f32, 1, 2), .x = in.matrix(DType::f32, 1, 2), .weight = weight});
  });
  for (float scale : {1.0f, 10.0f}) {
    x = {scale, scale};
    backend->upload(in.data(), x.data(), 8);
    graph->replay();
    backend->download(result.data(), out.data(), 8);
    REQUIRE(result == std::vector<float>{3 * scale, 7 * scale});
  }
}
