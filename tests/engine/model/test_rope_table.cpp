// Numbers of transformers 5, on the CPU, made by:
//   rotary = LlamaRotaryEmbedding(LlamaConfig(head_dim=64, rope_parameters={"rope_type": "llama3", "rope_theta": 5e5,
//       "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}))
//   cos, sin = rotary(torch.zeros(1), torch.tensor([[position]]))
// and for kPlain with rope_parameters={"rope_type": "default", "rope_theta": 1e4}.
#include <cmath>
#include <span>

#include "engine/model/rope_table.h"
#include "tests/support/catch.h"

namespace penstock {
namespace {

struct Angle {
  int64_t position, index;
  float cosine, sine;
};

// Indices up to 14 keep their frequency, 15 to 17 are blended, from 18 on the wavelength is 32 times as long.
constexpr Angle kLlama3[] = {
    {1, 0, 0.540302336f, 0.841470957f},
    {1, 7, 0.998394728f, 0.0566392913f},
    {1, 13, 0.999988317f, 0.00483940216f},
    {1, 15, 0.999999166f, 0.00129054766f},
    {1, 16, 0.99999994f, 0.000429556705f},
    {1, 17, 1, 9.70828623e-05f},
    {1, 18, 1, 1.94616387e-05f},
    {1, 20, 1, 8.57025589e-06f},
    {1, 31, 1, 9.41830649e-08f},
    {1000, 0, 0.562379062f, 0.826879561f},
    {1000, 7, 0.992694139f, 0.120658047f},
    {1000, 13, 0.126690909f, -0.991942227f},
    {1000, 15, 0.276594341f, 0.960986793f},
    {1000, 16, 0.909150481f, 0.416467816f},
    {1000, 17, 0.995291173f, 0.0969304293f},
    {1000, 18, 0.999810636f, 0.0194604099f},
    {1000, 20, 0.999963284f, 0.00857015047f},
    {1000, 31, 1, 9.41830658e-05f},
    {20000, 0, 0.813199699f, 0.581984758f},
    {20000, 7, -0.750079572f, 0.661347628f},
    {20000, 13, -0.824798465f, 0.565426826f},
    {20000, 15, 0.778690994f, 0.62740761f},
    {20000, 16, -0.672182322f, 0.740385652f},
    {20000, 17, -0.362418026f, 0.932015657f},
    {20000, 18, 0.925200462f, 0.379478693f},
    {20000, 20, 0.985346079f, 0.170567051f},
    {20000, 31, 0.999998212f, 0.00188366009f},
};

constexpr Angle kPlain[] = {
    {1, 0, 0.540302336f, 0.841470957f},     {1, 1, 0.731760979f, 0.681561351f},
    {1, 13, 0.999718845f, 0.0237115137f},   {1, 31, 1, 0.00013335215f},
    {1000, 0, 0.562379062f, 0.826879561f},  {1000, 1, -0.584592879f, 0.811326802f},
    {1000, 13, 0.15120846f, -0.988501906f}, {1000, 31, 0.991121769f, 0.132957265f},
};

// An inverse frequency may be off by 2 ulp (pow), which moves the angle by position x frequency x 2^-22 at most.
void check_angles(const RopeConfig& rope, std::span<const Angle> angles) {
  constexpr int64_t kHeadDim = 64;
  const std::vector<float> table = rope_table(rope, kHeadDim, 20001);
  REQUIRE(table.size() == 20001 * kHeadDim);
  for (const Angle& want : angles) {
    const double frequency = std::pow(rope.theta, -2.0 * static_cast<double>(want.index) / kHeadDim);
    const double bound = 0x1p-22 * (1 + static_cast<double>(want.position) * frequency);
    const float* row = table.data() + want.position * kHeadDim;
    INFO("position " << want.position << ", index " << want.index);
    CHECK(std::abs(row[want.index] - want.cosine) <= bound);
    CHECK(std::abs(row[kHeadDim / 2 + want.index] - want.sine) <= bound);
  }
}

TEST_CASE("llama3 scaling gives the angles of transformers") {
  check_angles({.theta = 5e5,
                .scaling = RopeConfig::Scaling::llama3,
                .factor = 32,
                .low_freq_factor = 1,
                .high_freq_factor = 4,
                .original_max_positions = 8192},
               kLlama3);
}

TEST_CASE("Plain RoPE gives the angles of transformers") { check_angles({.theta = 1e4}, kPlain); }

TEST_CASE("Position 0 is not rotated") {
  const std::vector<float> table = rope_table({.theta = 1e4}, 8, 1);
  CHECK(table == std::vector<float>{1, 1, 1, 1, 0, 0, 0, 0});
}

}  // namespace
}  // namespace penstock
