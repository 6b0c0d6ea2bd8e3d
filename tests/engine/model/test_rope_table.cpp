// Numbers of transformers 5, on the CPU, made by:
//   rotary = LlamaRotaryEmbedding(LlamaConfig(head_dim=64, rope_parameters={"rope_type": "llama3", "rope_theta": 5e5,
//       "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}))
//   cos, sin = rotary(torch.zeros(1), torch.tensor([[position]]))
// and likewise, the other parameters as in the test cases below, for the others (kLongRope*: Phi3RotaryEmbedding).
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

// Angles 0 to 11 or so keep their frequency, the last third is stretched by 4.
constexpr Angle kYarn[] = {
    {1, 0, 0.615204155f, 0.958123624f},       {1, 5, 1.13104594f, 0.131194845f},
    {1, 12, 1.1386143f, 0.00586937601f},      {1, 15, 1.13862884f, 0.00116893684f},
    {1, 18, 1.13862944f, 0.000200065013f},    {1, 22, 1.13862944f, 2.13462918e-05f},
    {1, 31, 1.13862944f, 4.38351407e-07f},    {1000, 0, 0.640341341f, 0.941509426f},
    {1000, 5, -0.824750364f, 0.785024703f},   {1000, 12, 0.487465113f, -1.02900672f},
    {1000, 15, 0.589486063f, 0.974157691f},   {1000, 18, 1.12109816f, 0.199037164f},
    {1000, 22, 1.1384294f, 0.0213450398f},    {1000, 31, 1.13862932f, 0.000438351417f},
    {20000, 0, 0.925933123f, 0.66266495f},    {20000, 5, -1.00284159f, -0.539245546f},
    {20000, 12, -0.954506993f, 0.620800555f}, {20000, 15, -0.127262443f, 1.13149512f},
    {20000, 18, -1.06052423f, -0.414445937f}, {20000, 22, 1.05952537f, 0.416992664f},
    {20000, 31, 1.1385957f, 0.00876694173f},
};
constexpr Angle kYarnMscale[] = {
    {1, 0, 0.591188014f, 0.920720696f},      {1, 8, 1.08871365f, 0.109235734f},
    {1, 14, 1.09405077f, 0.016818719f},      {1, 17, 1.09417224f, 0.00411142362f},
    {1, 31, 1.09417999f, 1.82389067e-05f},   {20000, 0, 0.889786839f, 0.636796057f},
    {20000, 8, -0.402066916f, 1.01763058f},  {20000, 14, 0.988770723f, -0.468574703f},
    {20000, 17, 1.06089807f, -0.267815679f}, {20000, 31, 1.03393614f, 0.358058542f},
};
constexpr Angle kLinear[] = {
    {1, 0, 0.968912423f, 0.247403964f},
    {1, 7, 0.999444366f, 0.0333318599f},
    {1, 31, 1, 3.33380376e-05f},
    {20000, 0, 0.154668406f, -0.987966418f},
    {20000, 7, 0.736374974f, 0.676573634f},
    {20000, 31, 0.785829067f, 0.618443727f},
};
constexpr Angle kLongRopeShort[] = {
    {1, 0, 0.604076385f, 0.940793157f},      {1, 7, 1.11576843f, 0.0711395517f},
    {1, 15, 1.11802983f, 0.00307437382f},    {1, 23, 1.11803401f, 0.000133418682f},
    {4095, 0, -0.0737634078f, -1.11559808f}, {4095, 7, -1.1179136f, 0.0164031368f},
    {4095, 15, 0.292700022f, -1.07903969f},  {4095, 23, 0.987177134f, 0.524863124f},
};
constexpr Angle kLongRopeLong[] = {
    {4096, 0, 0.898888826f, -0.664829969f},  {4096, 7, 0.878511429f, 0.691532791f},
    {4096, 15, 0.549146175f, 0.973878026f},  {4096, 23, 1.11742735f, 0.0368247926f},
    {20000, 0, 0.909184933f, 0.650678754f},  {20000, 7, -0.359328806f, -1.05871749f},
    {20000, 15, 0.486823022f, -1.00648069f}, {20000, 23, 1.1036011f, 0.179066524f},
};

ModelConfig model_with(const RopeConfig& rope, int64_t head_dim) {
  ModelConfig model;
  model.head_dim = head_dim;
  model.rope = rope;
  model.layer.resize(1);
  return model;
}

// `table`: positions from 0, `width` floats each. An inverse frequency may be off by a few ulp (pow), which moves the
// angle by position x frequency x 2^-21 at most; a cosine is scaled by less than 1.2.
void check_rows(const float* table, int64_t width, double theta, std::span<const Angle> angles) {
  for (const Angle& want : angles) {
    const double frequency = std::pow(theta, -2.0 * static_cast<double>(want.index) / static_cast<double>(width));
    const double bound = 0x1p-21 * (1 + static_cast<double>(want.position) * frequency);
    const float* row = table + want.position * width;
    INFO("position " << want.position << ", index " << want.index);
    CHECK(std::abs(row[want.index] - want.cosine) <= bound);
    CHECK(std::abs(row[width / 2 + want.index] - want.sine) <= bound);
  }
}

void check_angles(const RopeConfig& rope, std::span<const Angle> angles) {
  constexpr int64_t kHeadDim = 64;
  const std::vector<float> table = rope_tables(model_with(rope, kHeadDim), 20001);
  REQUIRE(table.size() == 20001 * kHeadDim);
  check_rows(table.data(), kHeadDim, rope.theta, angles);
}

TEST_CASE("llama3 scaling gives the angles of transformers") {
  check_angles({.theta = 5e5,
                .scaling = RopeConfig::Scaling::llama3,
                .factor = 32,
                .original_max_positions = 8192,
                .low_freq_factor = 1,
                .high_freq_factor = 4},
               kLlama3);
}

TEST_CASE("Plain RoPE gives the angles of transformers") { check_angles({.theta = 1e4}, kPlain); }

TEST_CASE("linear scaling gives the angles of transformers") {
  check_angles({.theta = 1e4, .scaling = RopeConfig::Scaling::linear, .factor = 4}, kLinear);
}

TEST_CASE("yarn gives the angles of transformers") {
  check_angles({.theta = 1e6,
                .scaling = RopeConfig::Scaling::yarn,
                .factor = 4,
                .attention_factor = 0.1 * std::log(4.0) + 1,
                .original_max_positions = 32768},
               kYarn);
  check_angles({.theta = 1e4,
                .scaling = RopeConfig::Scaling::yarn,
                .factor = 8,
                .attention_factor = (0.1 * std::log(8.0) + 1) / (0.05 * std::log(8.0) + 1),
                .original_max_positions = 4096,
                .beta_fast = 16,
                .beta_slow = 2,
                .truncate = false},
               kYarnMscale);
}

TEST_CASE("longrope has two tables, of three quarters of the head here") {
  RopeConfig rope{.theta = 1e4,
                  .rotary_share = 0.75,
                  .scaling = RopeConfig::Scaling::longrope,
                  .attention_factor = std::sqrt(1 + std::log(8.0) / std::log(4096.0)),
                  .original_max_positions = 4096};
  for (int i = 0; i < 24; ++i) rope.short_factor.push_back(1 + 0.01 * i), rope.long_factor.push_back(1 + 0.75 * i);
  const ModelConfig model = model_with(rope, 64);
  const RopeLayout layout(model, 20001);
  CHECK(layout.width == 48);
  CHECK(layout.long_from == 4096);
  CHECK(layout.long_begin == 4096);
  CHECK(layout.entries == 4096 + 20001);
  const std::vector<float> table = rope_tables(model, 20001);
  REQUIRE(static_cast<int64_t>(table.size()) == layout.entries * 48);
  check_rows(table.data(), 48, rope.theta, kLongRopeShort);
  check_rows(table.data() + layout.long_begin * 48, 48, rope.theta, kLongRopeLong);
  CHECK(RopeLayout(model, 4096).long_from == 0);  // a context within the original length needs no second table
}

TEST_CASE("Layers with a RoPE of their own have a table behind the others") {
  ModelConfig model = model_with({.theta = 1e6}, 8);
  model.layer[0].rope = LayerConfig::Rope::local;
  model.local_rope.theta = 1e4;
  const RopeLayout layout(model, 3);
  CHECK(layout.local_begin == 3);
  CHECK(layout.entries == 6);
  const std::vector<float> both = rope_tables(model, 3), alone = rope_tables(model_with({.theta = 1e4}, 8), 3);
  CHECK(std::vector<float>(both.begin() + 24, both.end()) == alone);
}

TEST_CASE("Position 0 is not rotated") {
  const std::vector<float> table = rope_tables(model_with({.theta = 1e4}, 8), 1);
  CHECK(table == std::vector<float>{1, 1, 1, 1, 0, 0, 0, 0});
}

}  // namespace
}  // namespace penstock
