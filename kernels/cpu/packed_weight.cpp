#include "kernels/cpu/packed_weight.h"

#include <algorithm>

namespace penstock::cpu {
namespace {

constexpr int64_t kTileSteps = 64;

// The weights [begin, end) of one row as units; end is at most `cols`, and an odd pair is filled with zero.
void read_units(const HostMatrix& part, int64_t row, DType stored, int64_t begin, int64_t end, uint32_t* units) {
  const char* data = static_cast<const char*>(part.data) + row * part.row_stride * dtype_bytes(part.dtype);
  int64_t count = end - begin;
  if (stored == part.dtype) {
    if (stored == DType::bf16 && count % 2) units[count / 2] = 0;
    std::memcpy(units, data + begin * dtype_bytes(stored), count * dtype_bytes(stored));
  } else if (stored == DType::f32) {
    float* out = reinterpret_cast<float*>(units);
    for (int64_t k = 0; k < count; ++k) out[k] = element_to_f32(data, part.dtype, begin + k);
  } else {
    for (int64_t k = 0; k < count; k += 2) {
      uint32_t low = f32_to_bf16(element_to_f32(data, part.dtype, begin + k));
      uint32_t high = k + 1 < count ? f32_to_bf16(element_to_f32(data, part.dtype, begin + k + 1)) : 0;
      units[k / 2] = low | high << 16;
    }
  }
}

// Four rows of four units become four steps of four columns.
void transpose_4x4(const uint32_t (*rows)[kTileSteps], uint32_t* steps) {
  using Units = uint32_t __attribute__((vector_size(16)));
  using Pairs = uint64_t __attribute__((vector_size(16)));
  Units a, b, c, d;
  std::memcpy(&a, rows[0], 16);
  std::memcpy(&b, rows[1], 16);
  std::memcpy(&c, rows[2], 16);
  std::memcpy(&d, rows[3], 16);
  auto low = [](Units x, Units y) { return reinterpret_cast<Pairs>(__builtin_shuffle(x, y, Units{0, 4, 1, 5})); };
  auto high = [](Units x, Units y) { return reinterpret_cast<Pairs>(__builtin_shuffle(x, y, Units{2, 6, 3, 7})); };
  Pairs ab0 = low(a, b), ab2 = high(a, b), cd0 = low(c, d), cd2 = high(c, d);
  Pairs out[4] = {__builtin_shuffle(ab0, cd0, Pairs{0, 2}), __builtin_shuffle(ab0, cd0, Pairs{1, 3}),
                  __builtin_shuffle(ab2, cd2, Pairs{0, 2}), __builtin_shuffle(ab2, cd2, Pairs{1, 3})};
  for (int64_t i = 0; i < 4; ++i) std::memcpy(steps + i * kPanelColumns, &out[i], 16);
}

// tile[row][step] -> steps[step][column + row]
void store_tile(const uint32_t (*tile)[kTileSteps], int64_t rows, int64_t count, uint32_t* steps) {
  int64_t whole_rows = rows / 4 * 4, whole_steps = count / 4 * 4;
  for (int64_t step = 0; step < whole_steps; step += 4)
    for (int64_t row = 0; row < whole_rows; row += 4) {
      const uint32_t(*corner)[kTileSteps] = reinterpret_cast<const uint32_t(*)[kTileSteps]>(&tile[row][step]);
      transpose_4x4(corner, steps + step * kPanelColumns + row);
    }
  for (int64_t step = 0; step < count; ++step)
    for (int64_t row = step < whole_steps ? whole_rows : 0; row < rows; ++row)
      steps[step * kPanelColumns + row] = tile[row][step];
}

// Rows of one panel, tile by tile: a tile's source lines and its target lines both stay in the first-level cache.
void pack_panel_rows(Weight& weight, int64_t first_row, const HostMatrix& part, int64_t part_row, int64_t rows) {
  int64_t steps = packed_steps(weight.in_features, weight.dtype), per_step = weight.dtype == DType::f32 ? 1 : 2;
  uint32_t* panel = weight.storage.as<uint32_t>() + first_row / kPanelColumns * steps * kPanelColumns;
  alignas(64) uint32_t tile[kPanelColumns][kTileSteps];
  for (int64_t step = 0; step < steps; step += kTileSteps) {
    int64_t count = std::min(kTileSteps, steps - step);
    int64_t begin = step * per_step, end = std::min(weight.in_features, (step + count) * per_step);
    for (int64_t row = 0; row < rows; ++row) read_units(part, part_row + row, weight.dtype, begin, end, tile[row]);
    store_tile(tile, rows, count, panel + step * kPanelColumns + first_row % kPanelColumns);
  }
}

void zero_padding_rows(Weight& weight) {
  int64_t used = weight.out_features % kPanelColumns, steps = packed_steps(weight.in_features, weight.dtype);
  if (used == 0) return;
  uint32_t* panel = weight.storage.as<uint32_t>() + weight.out_features / kPanelColumns * steps * kPanelColumns;
  for (int64_t step = 0; step < steps; ++step)
    std::fill(panel + step * kPanelColumns + used, panel + (step + 1) * kPanelColumns, 0u);
}

}  // namespace

int64_t packed_bytes(int64_t out_features, int64_t in_features, DType dtype) {
  return packed_panels(out_features) * packed_steps(in_features, dtype) * kStepBytes;
}

void pack_rows(Weight& weight, int64_t first_row, const HostMatrix& part) {
  Dim in_features("in_features", weight.in_features);
  in_features.bind(part.cols, "part", std::source_location::current());
  if (first_row < 0 || first_row + part.rows > weight.out_features)
    throw Error(ExitCode::internal, "pack_rows: rows beyond the weight's out_features");
  for (int64_t row = 0; row < part.rows;) {
    int64_t target = first_row + row;
    int64_t count = std::min(part.rows - row, kPanelColumns - target % kPanelColumns);
    pack_panel_rows(weight, target, part, row, count);
    row += count;
  }
  if (first_row + part.rows == weight.out_features) zero_padding_rows(weight);
}

}  // namespace penstock::cpu
