#include "engine/model/weights.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace penstock {
namespace {

// Where a checkpoint tensor, or some rows of it, goes: rows of a stacked matrix, or a part of an f32 vector.
struct Target {
  std::string tensor;
  Cut cut = Cut::replicate;
  int64_t rows = 0, cols = 0;  // of this part; a vector has cols = 0
  Weight* matrix = nullptr;
  DeviceBuffer* vector = nullptr;
  int64_t first = 0;     // row of `matrix`, or element of `vector`
  int64_t source = 0;    // the checkpoint tensor's row where this part begins
  int64_t all_rows = 0;  // of the checkpoint tensor
};

// Lists every tensor of the model in checkpoint order, with its place in `weights`; allocates nothing.
class TargetLister {
 public:
  TargetLister(const ModelConfig& model, const ShardPlan& shard, Weights& weights)
      : m_(model), shard_(shard), weights_(weights) {}

  std::vector<Target> list() && {
    matrix("model.embed_tokens", m_.vocab, m_.hidden, weights_.embedding);
    weights_.layers.resize(m_.layers);
    for (int64_t i = 0; i < m_.layers; ++i) {
      std::string at = "model.layers." + std::to_string(i) + ".";
      LayerWeights& layer = weights_.layers[i];
      norm(at + "input_layernorm", m_.hidden, layer.input_norm);
      attention(at + "self_attn.", layer);
      if (m_.sandwich_norms) norm(at + "post_attention_layernorm", m_.hidden, layer.attention_norm);
      norm(at + (m_.sandwich_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm"), m_.hidden,
           layer.mlp_norm);
      mlp(at + "mlp.", layer);
      if (m_.sandwich_norms) norm(at + "post_feedforward_layernorm", m_.hidden, layer.output_norm);
    }
    norm("model.norm", m_.hidden, weights_.final_norm);
    weights_.tied = m_.tied_embeddings;
    if (!weights_.tied) matrix("lm_head", m_.vocab, m_.hidden, weights_.lm_head);
    return std::move(list_);
  }

 private:
  void attention(const std::string& at, LayerWeights& layer) {
    const int64_t q = m_.heads * m_.head_dim, kv = m_.kv_heads * m_.head_dim;
    const int64_t my_q = shard_.heads() * m_.head_dim, my_kv = shard_.kv_heads() * m_.head_dim;
    if (m_.fused_qkv) {
      const int64_t all = q + 2 * kv;
      part(at + "qkv_proj", Cut::q_heads, q, m_.hidden, layer.qkv, 0, 0, all);
      part(at + "qkv_proj", Cut::kv_heads, kv, m_.hidden, layer.qkv, my_q, q, all);
      part(at + "qkv_proj", Cut::kv_heads, kv, m_.hidden, layer.qkv, my_q + my_kv, q + kv, all);
    } else {
      matrix(at + "q_proj", q, m_.hidden, layer.qkv, 0);
      matrix(at + "k_proj", kv, m_.hidden, layer.qkv, my_q);
      matrix(at + "v_proj", kv, m_.hidden, layer.qkv, my_q + my_kv);
    }
    if (m_.qkv_bias) {
      vector(at + "q_proj.bias", q, layer.qkv_bias, 0);
      vector(at + "k_proj.bias", kv, layer.qkv_bias, my_q);
      vector(at + "v_proj.bias", kv, layer.qkv_bias, my_q + my_kv);
    }
    if (m_.qk_norm) {
      norm(at + "q_norm", m_.head_dim, layer.q_norm);
      norm(at + "k_norm", m_.head_dim, layer.k_norm);
    }
    matrix(at + "o_proj", m_.hidden, q, layer.output);
    if (m_.output_bias) vector(at + "o_proj.bias", m_.hidden, layer.output_bias);
  }

  void mlp(const std::string& at, LayerWeights& layer) {
    if (m_.fused_gate_up) {
      part(at + "gate_up_proj", Cut::mlp_rows, m_.mlp, m_.hidden, layer.gate_up, 0, 0, 2 * m_.mlp);
      part(at + "gate_up_proj", Cut::mlp_rows, m_.mlp, m_.hidden, layer.gate_up, shard_.mlp(), m_.mlp, 2 * m_.mlp);
    } else {
      matrix(at + "gate_proj", m_.mlp, m_.hidden, layer.gate_up, 0);
      matrix(at + "up_proj", m_.mlp, m_.hidden, layer.gate_up, shard_.mlp());
    }
    matrix(at + "down_proj", m_.hidden, m_.mlp, layer.down);
    if (!m_.mlp_bias) return;
    vector(at + "gate_proj.bias", m_.mlp, layer.gate_up_bias, 0);
    vector(at + "up_proj.bias", m_.mlp, layer.gate_up_bias, shard_.mlp());
    vector(at + "down_proj.bias", m_.hidden, layer.down_bias);
  }

  void matrix(const std::string& name, int64_t rows, int64_t cols, Weight& to, int64_t first = 0) {
    part(name, cut_of(name + ".weight"), rows, cols, to, first, 0, rows);
  }
  // Rows [source, source + rows) of a tensor of `all_rows`.
  void part(const std::string& name, Cut cut, int64_t rows, int64_t cols, Weight& to, int64_t first, int64_t source,
            int64_t all_rows) {
    list_.push_back({name + ".weight", cut, rows, cols, &to, nullptr, first, source, all_rows});
  }
  void vector(const std::string& name, int64_t size, DeviceBuffer& to, int64_t first = 0) {
    list_.push_back({name, cut_of(name), size, 0, nullptr, &to, first, 0, size});
  }
  void norm(const std::string& name, int64_t size, DeviceBuffer& to) { vector(name + ".weight", size, to); }

  const ModelConfig& m_;
  const ShardPlan& shard_;
  Weights& weights_;
  std::vector<Target> list_;
};

std::vector<Target> targets(const ModelConfig& model, const ShardPlan& shard, Weights& weights) {
  return TargetLister(model, shard, weights).list();
}

bool is_norm(const Target& target) { return target.tensor.ends_with("norm.weight"); }

// A bias that is added after the ranks' parts are summed belongs to rank 0 alone.
bool is_mine(const Target& target, const ShardPlan& shard) {
  bool summed = target.tensor.ends_with("o_proj.bias") || target.tensor.ends_with("down_proj.bias");
  return shard.rank() == 0 || !summed;
}

struct Size {
  int64_t rows = 0, cols = 0;
};

// The size of the device object that a target is a part of: the sum of its parts.
template <class Visit>
void for_each_object(const std::vector<Target>& list, const ShardPlan& shard, Visit visit) {
  for (size_t i = 0; i < list.size();) {
    Size size;
    size_t j = i;
    auto same = [&](const Target& t) { return t.matrix == list[i].matrix && t.vector == list[i].vector; };
    for (; j < list.size() && same(list[j]); ++j) {
      Cut cut = list[j].cut;
      size.rows += cut == Cut::vocab ? shard.vocab() : shard.rows(cut, list[j].rows).size();
      size.cols = shard.columns(cut, list[j].cols).size();
    }
    if (is_mine(list[i], shard)) visit(list[i], size);
    i = j;
  }
}

void allocate(const std::vector<Target>& list, const ModelConfig& model, const ShardPlan& shard, Backend& backend) {
  for_each_object(list, shard, [&](const Target& target, Size size) {
    if (target.matrix) *target.matrix = backend.allocate_weight(size.rows, size.cols, model.checkpoint_dtype);
    if (target.vector) *target.vector = backend.allocate(size.rows * 4);
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
void check_tensors(const SafetensorsFolder& files, const ModelConfig& model, const std::vector<Target>& list) {
  std::set<std::string_view> wanted;
  for (const Target& target : list) {
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

// A slice of a target that one worker reads at once.
struct Piece {
  const Target* target;
  int64_t begin, end;  // rows of the target's part
};

std::vector<Piece> pieces(const std::vector<Target>& list, const ShardPlan& shard) {
  constexpr int64_t kElements = 1 << 20;
  std::vector<Piece> all;
  for (const Target& target : list) {
    if (!is_mine(target, shard)) continue;
    Span rows = shard.rows(target.cut, target.rows);
    int64_t step = target.matrix ? std::max<int64_t>(1, kElements / target.cols) : target.rows;
    for (int64_t at = rows.begin; at < rows.end; at += step)
      all.push_back({&target, at, std::min(rows.end, at + step)});
  }
  return all;
}

// Puts the piece's rows, whole, which are at `data`, where they belong.
void store(const Piece& piece, const void* data, DType dtype, const ModelConfig& model, const ShardPlan& shard,
           Backend& backend) {
  const Target& target = *piece.target;
  Cut cut = target.cut;
  int64_t count = piece.end - piece.begin, to = target.first + piece.begin - shard.rows(cut, target.rows).begin;
  if (target.matrix) {
    Span columns = shard.columns(cut, target.cols);
    const char* first = static_cast<const char*>(data) + columns.begin * dtype_bytes(dtype);
    backend.store_weight(*target.matrix, to, {first, dtype, count, columns.size(), target.cols});
    return;
  }
  const float offset = is_norm(target) ? model.norm_offset : 0;
  std::vector<float> wide(count);
  for (int64_t i = 0; i < count; ++i) wide[i] = element_to_f32(data, dtype, i) + offset;
  backend.upload(target.vector->as<float>() + to, wide.data(), count * 4);
}

// Runs work(piece, staging buffer) over all pieces on `threads` threads; rethrows the first error.
template <class Work>
void for_each_piece(const std::vector<Piece>& all, int threads, Work work) {
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  auto worker = [&] {
    std::vector<char> staging;
    try {
      for (size_t i; (i = next++) < all.size();) work(all[i], staging);
    } catch (...) {
      next = all.size();
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

}  // namespace

int64_t weight_bytes(const ModelConfig& model, const ShardPlan& shard, const Backend& backend) {
  Weights shapes;
  int64_t bytes = 0;
  for_each_object(targets(model, shard, shapes), shard, [&](const Target& target, Size size) {
    bytes += target.matrix ? backend.weight_bytes(size.rows, size.cols, model.checkpoint_dtype) : size.rows * 4;
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

Weights load_weights(const SafetensorsFolder& files, const ModelConfig& model, const ShardPlan& shard, Backend& backend,
                     int threads) {
  Weights weights;
  std::vector<Target> list = targets(model, shard, weights);
  check_tensors(files, model, list);
  allocate(list, model, shard, backend);
  for_each_piece(pieces(list, shard), threads, [&](const Piece& piece, std::vector<char>& staging) {
    const TensorInfo& info = *files.find(piece.target->tensor);
    uint64_t row_bytes = info.bytes / piece.target->all_rows;
    staging.resize((piece.end - piece.begin) * row_bytes);
    files.read(info, (piece.target->source + piece.begin) * row_bytes, staging.size(), staging.data());
    store(piece, staging.data(), weight_dtype(info, files.place(info)), model, shard, backend);
  });
  return weights;
}

Weights random_weights(const ModelConfig& model, const ShardPlan& shard, Backend& backend, int threads) {
  Weights weights;
  std::vector<Target> list = targets(model, shard, weights);
  allocate(list, model, shard, backend);
  for_each_piece(pieces(list, shard), threads, [&](const Piece& piece, std::vector<char>& staging) {
    const Target& target = *piece.target;
    int64_t cols = std::max<int64_t>(1, target.cols);
    staging.resize((piece.end - piece.begin) * cols * 2);
    auto* values = reinterpret_cast<uint16_t*>(staging.data());
    const float norm = 1 - model.norm_offset;
    float scale = 1.0f / std::sqrt(static_cast<float>(cols));
    uint64_t state = std::hash<std::string>()(target.tensor);
    for (int64_t i = 0; i < (piece.end - piece.begin) * cols; ++i) {
      uint64_t x =
          state + static_cast<uint64_t>((target.source + piece.begin) * cols + i) * 0x9E3779B97F4A7C15u;  // splitmix64
      x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
      x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
      // Four 16-bit uniforms summed: near enough to a normal of variance 1/3.
      float sum = 0;
      for (int part = 0; part < 4; ++part) sum += static_cast<float>((x >> (16 * part)) & 0xFFFF) / 65536.0f - 0.5f;
      values[i] = f32_to_bf16(is_norm(target) ? norm : sum * 1.7320508f * scale);
    }
    store(piece, values, DType::bf16, model, shard, backend);
  });
  return weights;
}

}  // namespace penstock
