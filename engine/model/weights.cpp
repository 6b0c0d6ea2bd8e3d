#include "engine/model/weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "engine/model/random_values.h"
#include "engine/model/staging_ring.h"
#include "engine/model/weight_targets.h"

namespace penstock {
namespace {

void allocate(const std::vector<WeightTarget>& list, const ModelConfig& model, const ShardPlan& shard,
              Backend& backend) {
  for_each_object(list, shard, [&](const WeightTarget& target, int64_t rows, int64_t cols) {
    if (target.matrix) *target.matrix = backend.allocate_weight(rows, cols, model.checkpoint_dtype);
    if (target.vector) *target.vector = backend.allocate(rows * 4);
  });
}

[[noreturn]] void bad(const std::string& message) { throw Error(ExitCode::bad_model, message); }

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (int64_t dim : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

bool same_contents(const SafetensorsFolder& files, const TensorInfo& a, const TensorInfo& b) {
  if (a.shape != b.shape || a.dtype_name != b.dtype_name) return false;
  constexpr uint64_t kChunk = 4 << 20;
  std::vector<char> x(kChunk), y(kChunk);
  for (uint64_t at = 0; at < a.bytes; at += kChunk) {
    uint64_t size = std::min(kChunk, a.bytes - at);
    files.read(a, at, size, x.data());
    files.read(b, at, size, y.data());
    if (std::memcmp(x.data(), y.data(), size) != 0) return false;
  }
  return true;
}

// The files hold what the model calls for, no more and no less.
void check_tensors(const SafetensorsFolder& files, const ModelConfig& model, const std::vector<WeightTarget>& list) {
  std::set<std::string_view> wanted;
  for (const WeightTarget& target : list) {
    wanted.insert(target.tensor);
    const TensorInfo* info = files.find(target.tensor);
    if (!info)
      bad(files.files()[0].path + ": the weight files lack tensor " + target.tensor + ", which config.json calls for");
    std::vector<int64_t> shape{target.all_rows};
    if (target.cols) shape.push_back(target.cols);
    if (info->shape != shape)
      bad(files.place(*info) + " has shape " + shape_text(info->shape) + "; config.json calls for " +
          shape_text(shape));
    weight_dtype(*info, files.place(*info));
  }
  for (const TensorInfo& info : files.tensors()) {
    if (wanted.contains(info.name) || info.name.ends_with(".rotary_emb.inv_freq")) continue;
    const TensorInfo* embedding = files.find("model.embed_tokens.weight");
    if (info.name == "lm_head.weight" && model.tied_embeddings) {
      if (same_contents(files, info, *embedding)) continue;
      bad(files.place(info) + " differs from model.embed_tokens.weight, but config.json says tie_word_embeddings");
    }
    bad(files.place(info) + " has no place in the model that config.json describes");
  }
}

// Rows of a target that one worker reads at once.
struct Piece {
  const WeightTarget* target;
  int64_t begin, end;  // rows of the target's part

  int64_t elements() const { return (end - begin) * std::max<int64_t>(1, target->cols); }
  int64_t first_element() const { return (target->source + begin) * std::max<int64_t>(1, target->cols); }
  // Of the slot it travels in: its elements as the checkpoint has them and, for a vector, as f32 before them.
  int64_t slot_bytes(int64_t element_bytes) const { return elements() * (element_bytes + (target->vector ? 4 : 0)); }
  // Where in the slot the checkpoint's elements go.
  char* raw(void* slot) const { return static_cast<char*>(slot) + (target->vector ? elements() * 4 : 0); }
};

std::vector<Piece> pieces(const std::vector<WeightTarget>& list, const ShardPlan& shard) {
  constexpr int64_t kElements = 1 << 20;  // 2 MiB in bf16: a copy is then as fast as a large one
  std::vector<Piece> all;
  for (const WeightTarget& target : list) {
    if (!target.is_mine(shard)) continue;
    Span rows = shard.rows(target.cut, target.rows);
    int64_t step = target.matrix ? std::max<int64_t>(1, kElements / target.cols) : target.rows;
    for (int64_t at = rows.begin; at < rows.end; at += step)
      all.push_back({&target, at, std::min(rows.end, at + step)});
  }
  return all;
}

// Sends the piece, whose rows lie in `slot` whole, to where it belongs.
std::unique_ptr<Moment> store(const Piece& piece, void* slot, DType dtype, const ModelConfig& model,
                              const ShardPlan& shard, Backend& backend) {
  const WeightTarget& target = *piece.target;
  const int64_t count = piece.end - piece.begin;
  const int64_t to = target.first + piece.begin - shard.rows(target.cut, target.rows).begin;
  char* raw = piece.raw(slot);
  if (target.matrix) {
    const Span columns = shard.columns(target.cut, target.cols);
    raw += columns.begin * dtype_bytes(dtype);
    HostMatrix part{raw, dtype, count, columns.size(), target.cols};
    // In place, where the backend would need other memory for it.
    if (target.matrix->dtype == DType::bf16) part = part.narrowed(reinterpret_cast<uint16_t*>(raw));
    return backend.store_weight_later(*target.matrix, to, part);
  }
  const float offset = target.is_norm() ? model.norm_offset : 0;
  auto* wide = static_cast<float*>(slot);
  for (int64_t i = 0; i < count; ++i) wide[i] = element_to_f32(raw, dtype, i) + offset;
  return backend.store_vector_later(target.vector->as<float>() + to, {wide, static_cast<size_t>(count)});
}

// Runs work(i) for all i below `count` on `threads` threads; rethrows the first error, after which no work begins.
template <class Work>
void for_each_index(size_t count, int threads, Work work) {
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  auto worker = [&] {
    try {
      for (size_t i; (i = next++) < count;) work(i);
    } catch (...) {
      next = count;
      std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(worker);
    worker();
  }
  if (failure) std::rethrow_exception(failure);
}

// Allocates what `list` names and fills it: fill(piece, memory) puts a piece's rows, whole, to `memory` and says in
// which dtype. Two slots a thread, one to be filled while the other is copied; beyond sixteen threads it is the copies
// that everybody waits for.
template <class Fill>
void fill_weights(const std::vector<WeightTarget>& list, int64_t element_bytes, const ModelConfig& model,
                  const ShardPlan& shard, Backend& backend, int threads, Fill fill) {
  allocate(list, model, shard, backend);
  const std::vector<Piece> all = pieces(list, shard);
  int64_t slot_bytes = 0;
  for (const Piece& piece : all) slot_bytes = std::max(slot_bytes, piece.slot_bytes(element_bytes));
  StagingRing ring(backend, threads + std::min(threads, 16), slot_bytes);
  for_each_index(all.size(), threads, [&](size_t i) {
    StagingRing::Slot slot = ring.take();
    const DType dtype = fill(all[i], all[i].raw(slot.data()));
    slot.send(store(all[i], slot.data(), dtype, model, shard, backend));
  });
  ring.drain();
}

}  // namespace

int64_t weight_bytes(const ModelConfig& model, const ShardPlan& shard, const Backend& backend) {
  Weights shapes;
  int64_t bytes = 0;
  for_each_object(weight_targets(model, shard, shapes), shard,
                  [&](const WeightTarget& target, int64_t rows, int64_t cols) {
                    bytes += target.matrix ? backend.weight_bytes(rows, cols, model.checkpoint_dtype) : rows * 4;
                  });
  return bytes;
}

DType checkpoint_dtype(const SafetensorsFolder& files) {
  bool all_bf16 = true, all_f16 = true;
  for (const TensorInfo& info : files.tensors()) {
    if (info.shape.size() != 2) continue;
    DType dtype = weight_dtype(info, files.place(info));
    all_bf16 &= dtype == DType::bf16;
    all_f16 &= dtype == DType::f16;
  }
  return all_bf16 ? DType::bf16 : all_f16 ? DType::f16 : DType::f32;
}

void check_weights(const SafetensorsFolder& files, const ModelConfig& model, const ShardPlan& shard) {
  Weights shapes;
  check_tensors(files, model, weight_targets(model, shard, shapes));
}

Weights load_weights(const SafetensorsFolder& files, const ModelConfig& model, const ShardPlan& shard, Backend& backend,
                     int threads) {
  Weights weights;
  const std::vector<WeightTarget> list = weight_targets(model, shard, weights);
  int64_t element_bytes = 2;
  for (const WeightTarget& target : list) {
    const TensorInfo& info = *files.find(target.tensor);
    element_bytes = std::max(element_bytes, dtype_bytes(weight_dtype(info, files.place(info))));
  }
  fill_weights(list, element_bytes, model, shard, backend, threads, [&](const Piece& piece, char* memory) {
    const TensorInfo& info = *files.find(piece.target->tensor);
    const uint64_t row_bytes = info.bytes / piece.target->all_rows;
    files.read(info, (piece.target->source + piece.begin) * row_bytes, (piece.end - piece.begin) * row_bytes, memory);
    return weight_dtype(info, files.place(info));
  });
  return weights;
}

Weights random_weights(const ModelConfig& model, const ShardPlan& shard, Backend& backend, int threads) {
  Weights weights;
  const std::vector<WeightTarget> list = weight_targets(model, shard, weights);
  fill_weights(list, 2, model, shard, backend, threads, [&](const Piece& piece, char* memory) {
    const WeightTarget& target = *piece.target;
    auto* values = reinterpret_cast<uint16_t*>(memory);
    if (target.is_norm()) {
      std::fill_n(values, piece.elements(), f32_to_bf16(1 - model.norm_offset));
    } else {
      const float scale = 1 / std::sqrt(static_cast<float>(std::max<int64_t>(1, target.cols)));
      RandomValues(target.tensor, scale).fill(piece.first_element(), {values, static_cast<size_t>(piece.elements())});
    }
    return DType::bf16;
  });
  return weights;
}

}  // namespace penstock
