#include "engine/model/activations.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

ModelConfig model() {
  ModelConfig m;
  m.hidden = 40, m.layers = 1, m.heads = 4, m.kv_heads = 4, m.head_dim = 8, m.mlp = 48, m.vocab = 64;
  return m;
}

char* at(const Tensor& x, int64_t row) { return static_cast<char*>(x.data) + row * x.stride * dtype_bytes(x.dtype); }

TEST_CASE("Large steps are in halves, which share no row and leave none out") {
  const auto backend = make_backend({});
  for (int ranks : {2, 4}) {
    const ShardPlan shard(model(), 1, ranks);
    const ActivationBuffers buffers(model(), shard, *backend, {.tokens = 33, .rows = 1, .halved_from = 5});
    for (int64_t tokens : {1, 4}) {
      const auto parts = buffers.parts(tokens);
      REQUIRE(parts.size() == 1);
      CHECK(parts[0].hidden.rows == tokens);
      CHECK(!parts[0].is_half());
    }
    for (int64_t tokens : {5, 6, 33}) {
      const Activations whole = buffers.narrow(tokens, 0);
      const auto parts = buffers.parts(tokens);
      REQUIRE(parts.size() == 2);
      for (Tensor Activations::*x : {&Activations::residual, &Activations::hidden, &Activations::qkv,
                                     &Activations::attention, &Activations::gate_up, &Activations::mlp}) {
        const Tensor &all = whole.*x, &first = parts[0].*x, &second = parts[1].*x;
        CHECK(first.rows == (tokens + 1) / 2);
        CHECK(first.rows + second.rows == tokens);
        CHECK(first.data == all.data);
        CHECK(second.data == at(all, first.rows));
        CHECK(second.cols == all.cols);
        CHECK(second.stride == all.stride);
      }
      for (const Activations& part : parts) {
        CHECK(part.is_half());
        CHECK(part.fetched.rows == (ranks - 1) * part.hidden.rows);
        CHECK(part.fetched.stride == part.hidden.stride);
      }
      CHECK(parts[1].fetched.data == at(parts[0].fetched, parts[0].fetched.rows));
    }
  }
}

TEST_CASE("One token cannot be halved") {
  const auto backend = make_backend({});
  const ActivationBuffers buffers(model(), ShardPlan(model(), 0, 2), *backend,
                                  {.tokens = 2, .rows = 1, .halved_from = 1});
  CHECK(buffers.parts(1).size() == 1);
  CHECK(buffers.parts(2).size() == 2);
}

}  // namespace
}  // namespace penstock
