// Reading rows back from the packed layout tests packing too: whatever the file's dtype, a row is what was stored.
#include <random>
#include <thread>
#include <vector>

#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/packed_weight.h"
#include "tests/support/catch.h"
#include "tests/support/compare.h"

using namespace penstock;

namespace {

constexpr int64_t kVocab = 101, kHidden = 71, kStride = 80;

Weight empty_weight(DType stored) {
  int64_t bytes = cpu::packed_bytes(kVocab, kHidden, stored);
  Weight weight{cpu::allocate_host(bytes), stored, kVocab, kHidden};
  std::memset(weight.storage.data(), 0xFF, bytes);
  return weight;
}

std::vector<float> embed(const cpu::Ops& ops, const Weight& table, const std::vector<int32_t>& ids, int64_t first_id,
                         const std::vector<int32_t>& last_tokens, float scale = 1) {
  cpu::ThreadPool pool(2);
  int64_t tokens = static_cast<int64_t>(ids.size());
  std::vector<float> out(tokens * kHidden, std::numeric_limits<float>::quiet_NaN());
  ops.embed(pool, {.out = {out.data(), DType::f32, tokens, kHidden, kHidden},
                   .table = table,
                   .first_id = first_id,
                   .last_tokens = last_tokens.data(),
                   .step = {.tokens = tokens, .input_ids = ids.data()},
                   .scale = scale});
  return out;
}

std::vector<int32_t> all_ids() {
  std::vector<int32_t> ids(kVocab);
  for (int32_t id = 0; id < kVocab; ++id) ids[id] = id;
  return ids;
}

// Checkpoint bits [kVocab, kStride] of a dtype, and the same values in f32.
struct Checkpoint {
  std::vector<uint16_t> halves;
  std::vector<float> floats, values;
  DType dtype;

  explicit Checkpoint(DType dtype) : halves(kVocab * kStride), floats(kVocab * kStride), dtype(dtype) {
    std::mt19937 random(7);
    std::uniform_int_distribution<int> exponent(-12, 3), fraction(0, 1023), sign(0, 1);
    std::normal_distribution<float> normal;
    for (int64_t row = 0; row < kVocab; ++row)
      for (int64_t k = 0; k < kStride; ++k) {
        int64_t at = row * kStride + k;
        int e = exponent(random), f = fraction(random), s = sign(random);
        floats[at] = normal(random);
        if (dtype == DType::bf16) halves[at] = f32_to_bf16(floats[at]), floats[at] = bf16_to_f32(halves[at]);
        if (dtype == DType::f16) {
          halves[at] = static_cast<uint16_t>(s << 15 | (e + 15) << 10 | f);
          floats[at] = std::ldexp(static_cast<float>((s ? -1 : 1) * (1024 + f)), e - 10);
          if (at % 5 == 0) halves[at] = static_cast<uint16_t>(s << 15 | f), floats[at] = (s ? -f : f) * 0x1p-24f;
        }
        if (k < kHidden) values.push_back(floats[at]);
      }
  }

  HostMatrix rows(int64_t first, int64_t count) const {
    const void* data = dtype == DType::f32 ? static_cast<const void*>(&floats[first * kStride])
                                           : static_cast<const void*>(&halves[first * kStride]);
    return {data, dtype, count, kHidden, kStride};
  }
};

}  // namespace

TEST_CASE("embed gives back what was packed, rounded once", "[cpu]") {
  for (const cpu::Ops* ops : cpu::runnable_ops())
    for (DType checkpoint_dtype : {DType::f32, DType::f16, DType::bf16})
      for (DType stored : {DType::f32, DType::bf16}) {
        INFO(ops->name << ", " << dtype_name(checkpoint_dtype) << " stored as " << dtype_name(stored));
        Checkpoint checkpoint(checkpoint_dtype);
        Weight table = empty_weight(stored);
        cpu::pack_rows(table, 0, checkpoint.rows(0, kVocab));
        std::vector<float> expected = checkpoint.values;
        if (stored == DType::bf16)
          for (float& value : expected) value = bf16_to_f32(f32_to_bf16(value));
        auto equal = [](float a, float b) { return a == b; };  // an f16 -0 may come from -f with f = 0
        std::vector<float> got = embed(*ops, table, all_ids(), 0, {});
        REQUIRE(std::equal(got.begin(), got.end(), expected.begin(), expected.end(), equal));
      }
}

TEST_CASE("embed scales a row in f32, rounding the product alone", "[cpu]") {
  const float scale = std::sqrt(71.0f);
  for (const cpu::Ops* ops : cpu::runnable_ops())
    for (DType stored : {DType::f32, DType::bf16}) {
      Weight table = empty_weight(stored);
      cpu::pack_rows(table, 0, Checkpoint(stored).rows(0, kVocab));
      std::vector<int32_t> ids = all_ids();
      ids.push_back(kVocab + 5);
      std::vector<float> want = embed(*ops, table, ids, 0, {}), got = embed(*ops, table, ids, 0, {}, scale);
      for (float& value : want) value *= scale;
      REQUIRE(bit_difference(got, want) == "");
    }
}

TEST_CASE("rows may be stored in any parts, by several threads", "[cpu]") {
  Checkpoint checkpoint(DType::bf16);
  Weight whole = empty_weight(DType::bf16), parts = empty_weight(DType::bf16);
  cpu::pack_rows(whole, 0, checkpoint.rows(0, kVocab));
  std::vector<std::thread> threads;
  for (auto [first, count] : {std::pair{0, 5}, {5, 40}, {45, 1}, {46, 50}, {96, 5}})
    threads.emplace_back(
        [&, first = first, count = count] { cpu::pack_rows(parts, first, checkpoint.rows(first, count)); });
  for (std::thread& thread : threads) thread.join();
  REQUIRE(std::memcmp(whole.storage.data(), parts.storage.data(), whole.storage.bytes()) == 0);
}

TEST_CASE("padding of a packed weight is zero", "[cpu]") {
  Checkpoint checkpoint(DType::bf16);
  Weight table = empty_weight(DType::bf16);
  cpu::pack_rows(table, 0, checkpoint.rows(0, kVocab));
  int64_t steps = cpu::packed_steps(kHidden, DType::bf16), last_panel = kVocab / cpu::kPanelColumns;
  const uint32_t* units = table.storage.as<uint32_t>() + last_panel * steps * cpu::kPanelColumns;
  for (int64_t step = 0; step < steps; ++step)
    for (int64_t column = kVocab % cpu::kPanelColumns; column < cpu::kPanelColumns; ++column)
      REQUIRE(units[step * cpu::kPanelColumns + column] == 0);
  for (int64_t column = 0; column < cpu::kPanelColumns; ++column)
    REQUIRE(units[(steps - 1) * cpu::kPanelColumns + column] >> 16 == 0);
}

TEST_CASE("ids outside the rank's vocabulary give zeros, negative ids name a slot", "[cpu]") {
  Checkpoint checkpoint(DType::f32);
  Weight table = empty_weight(DType::f32);
  cpu::pack_rows(table, 0, checkpoint.rows(0, kVocab));
  const int64_t first_id = 1000;
  std::vector<int32_t> last_tokens = {1003, 999, 1100};
  std::vector<int32_t> ids = {1000, 999, 1101, 1100, ~0, ~1, ~2, 0};
  std::vector<int> row_of = {0, -1, -1, 100, 3, -1, 100, -1};
  for (const cpu::Ops* ops : cpu::runnable_ops()) {
    std::vector<float> got = embed(*ops, table, ids, first_id, last_tokens);
    for (size_t token = 0; token < ids.size(); ++token)
      for (int64_t k = 0; k < kHidden; ++k) {
        float expected = row_of[token] < 0 ? 0 : checkpoint.values[row_of[token] * kHidden + k];
        REQUIRE(got[token * kHidden + k] == expected);
      }
  }
}

TEST_CASE("packing refuses rows that the weight does not have", "[cpu]") {
  Checkpoint checkpoint(DType::f32);
  Weight table = empty_weight(DType::f32);
  REQUIRE_THROWS_AS(cpu::pack_rows(table, 100, checkpoint.rows(0, 2)), Error);
  HostMatrix wide = checkpoint.rows(0, 1);
  wide.cols = kHidden + 1;
  REQUIRE_THROWS_AS(cpu::pack_rows(table, 0, wide), Error);
}
