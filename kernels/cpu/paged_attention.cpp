#include <atomic>
#include <cstring>

#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/paged_rows.h"
#include "kernels/cpu/scratch.h"

namespace penstock::cpu::PENSTOCK_ISA {

namespace {

constexpr int64_t kItemQueries = 48;  // about so many queries share a tile of keys once it is transposed

// A piece of work: the queries of some tokens of one row that share a head of keys.
struct Item {
  int64_t row, kv_head;
  int64_t first_token, tokens;
};

// Walks all items of a step. Items of one row go from its end, where the contexts are longest, to its start.
class ItemCursor {
 public:
  ItemCursor(const PagedAttention& op, int64_t tokens_per_item) : op_(op), tokens_per_item_(tokens_per_item) {}

  // Finds item `ticket`; tickets must ascend. False: there are fewer.
  bool seek(int64_t ticket, Item& item) {
    const StepView& step = op_.step;
    for (; row_ < step.rows; row_++) {
      int64_t begin = step.row_begin[row_], end = step.row_begin[row_ + 1];
      int64_t pieces = divide_up(end - begin, tokens_per_item_) * op_.cache.kv_heads;
      if (ticket < before_ + pieces) {
        int64_t piece = ticket - before_, kv_heads = op_.cache.kv_heads;
        int64_t last = end - piece / kv_heads * tokens_per_item_, first = larger(begin, last - tokens_per_item_);
        item = {row_, piece % kv_heads, first, last - first};
        return true;
      }
      before_ += pieces;
    }
    return false;
  }

 private:
  const PagedAttention& op_;
  int64_t tokens_per_item_;
  int64_t row_ = 0, before_ = 0;
};

// One worker's memory; n: queries of an item.
struct Workspace {
  float* zeros;           // [head_dim] stands in for keys that must not be read
  float* keys_t;          // [kGroups, head_dim, kLanes]
  float* scores;          // [n, kTile]
  float* sums;            // [n, padded head_dim]
  const float** queries;  // [n]
  SoftmaxState* states;   // [n]
  const void** keys;      // [kTile]
  const void** values;    // [kTile]

  Workspace(Carver& carver, int64_t n, int64_t head_dim)
      : zeros(carver.take<float>(head_dim)),
        keys_t(carver.take<float>(kTile * head_dim)),
        scores(carver.take<float>(n * kTile)),
        sums(carver.take<float>(n * padded(head_dim))),
        queries(carver.take<const float*>(n)),
        states(carver.take<SoftmaxState>(n)),
        keys(carver.take<const void*>(kTile)),
        values(carver.take<const void*>(kTile)) {}

  static int64_t padded(int64_t head_dim) { return divide_up(head_dim, kLanes) * kLanes; }
};

template <class T>
class ItemRun {
 public:
  // `next`: what this worker does afterwards, or null. Its first keys are asked for in time.
  ItemRun(const PagedAttention& op, const Item& item, const Item* next, const Workspace& work)
      : op_(op),
        item_(item),
        next_(next),
        work_(work),
        group_(op.heads / op.cache.kv_heads),
        queries_(item.tokens * group_),
        head_dim_(op.cache.head_dim),
        sums_stride_(Workspace::padded(head_dim_)) {}

  void run() {
    for (int64_t n = 0; n < queries_; n++) {
      work_.queries[n] = op_.qkv.row<float>(token(n)) + head(n) * head_dim_;
      work_.states[n] = {};
    }
    std::memset(work_.sums, 0, queries_ * sums_stride_ * sizeof(float));
    int64_t begin = first_key(token(0)), end = last_key(token(queries_ - 1));
    for (int64_t tile = begin / kTile * kTile; tile < end; tile += kTile) {
      fetch_tile(tile, larger(begin, tile), smaller(end, tile + kTile));
      if (tile + kTile < end)
        ask_for_keys(item_, tile + kTile, end);
      else if (next_)
        ask_for_keys(*next_, first_key(next_->first_token), last_key(next_->first_token + next_->tokens - 1));
      int64_t n = 0;
      for (; n + kQueries <= queries_; n += kQueries) attend<kQueries>(n, tile);
      attend_rest<kQueries - 1>(queries_ - n, n, tile);
    }
    for (int64_t n = 0; n < queries_; n++) finish(n);
  }

 private:
  int64_t token(int64_t n) const { return item_.first_token + n / group_; }
  int64_t head(int64_t n) const { return item_.kv_head * group_ + n % group_; }
  int64_t last_key(int64_t token) const { return op_.step.positions[token] + 1; }
  int64_t first_key(int64_t token) const {
    return op_.window > 0 ? larger(int64_t{0}, last_key(token) - op_.window) : 0;
  }

  // Keys and values of positions [begin, end) of the tile; what lies outside is not touched, and its keys read as zero.
  void fetch_tile(int64_t tile, int64_t begin, int64_t end) {
    const T** keys = reinterpret_cast<const T**>(work_.keys);
    const T** values = reinterpret_cast<const T**>(work_.values);
    int from = static_cast<int>(begin - tile), to = static_cast<int>(end - tile);
    int first_group = from / kLanes, last_group = (to + kLanes - 1) / kLanes;
    auto zeros = reinterpret_cast<const T*>(work_.zeros);
    for (int j = first_group * kLanes; j < from; j++) keys[j] = values[j] = zeros;
    for (int j = to; j < last_group * kLanes; j++) keys[j] = values[j] = zeros;
    const StepView& step = op_.step;
    PagedRows<const T>(op_.cache, op_.cache.k, step, item_.row, item_.kv_head).list(keys + from, begin, end);
    PagedRows<const T>(op_.cache, op_.cache.v, step, item_.row, item_.kv_head).list(values + from, begin, end);
    transpose_keys(work_.keys_t, keys, values, first_group, last_group, head_dim_);
  }

  // The keys that transpose_keys expects to be on their way.
  void ask_for_keys(const Item& item, int64_t begin, int64_t end) {
    constexpr int64_t kCount = kGroupsAhead * kLanes;
    const T* rows[kCount];
    int64_t count = smaller(end - begin, kCount);
    PagedRows<const T>(op_.cache, op_.cache.k, op_.step, item.row, item.kv_head).list(rows, begin, begin + count);
    ask_for_rows(rows, 0, static_cast<int>(count), head_dim_);
  }

  template <int M>
  void attend_rest(int64_t count, int64_t n, int64_t tile) {
    if constexpr (M > 0) {
      if (count == M)
        attend<M>(n, tile);
      else
        attend_rest<M - 1>(count, n, tile);
    }
  }

  // Queries [n, n + M) against one tile.
  template <int M>
  void attend(int64_t n, int64_t tile) {
    int begin[M], end[M];  // what each query sees of the tile
    int all_begin = 0, all_end = kTile, any_begin = kTile, any_end = 0;
    for (int m = 0; m < M; m++) {
      begin[m] = static_cast<int>(larger(first_key(token(n + m)) - tile, int64_t{0}));
      end[m] = static_cast<int>(smaller(last_key(token(n + m)) - tile, kTile));
      if (begin[m] > all_begin) all_begin = begin[m];
      if (end[m] < all_end) all_end = end[m];
      if (begin[m] < end[m] && begin[m] < any_begin) any_begin = begin[m];
      if (begin[m] < end[m] && end[m] > any_end) any_end = end[m];
    }
    if (any_begin >= any_end) return;
    float *scores = work_.scores + n * kTile, *sums = work_.sums + n * sums_stride_;
    score_groups<M>(scores, work_.queries + n, work_.keys_t, any_begin / kLanes, (any_end + kLanes - 1) / kLanes,
                    head_dim_);
    for (int m = 0; m < M; m++) {
      if (begin[m] >= end[m]) continue;
      float factor = softmax_tile(work_.states[n + m], scores + m * kTile, begin[m], end[m], op_.scale, op_.soft_cap);
      if (factor != 1.0f)
        for (int64_t d = 0; d < sums_stride_; d += kLanes)
          store(sums + m * sums_stride_ + d, load(sums + m * sums_stride_ + d) * factor);
    }
    // Each query adds up its own positions in their order: alone before and after the stretch that all of them see.
    const T* const* values = reinterpret_cast<const T* const*>(work_.values);
    bool shared = all_begin < all_end;
    for (int m = 0; m < M; m++)
      add_values<1>(sums + m * sums_stride_, sums_stride_, scores + m * kTile, values, begin[m],
                    shared ? all_begin : end[m], head_dim_);
    if (!shared) return;
    add_values<M>(sums, sums_stride_, scores, values, all_begin, all_end, head_dim_);
    for (int m = 0; m < M; m++)
      add_values<1>(sums + m * sums_stride_, sums_stride_, scores + m * kTile, values, all_end, end[m], head_dim_);
  }

  void finish(int64_t n) {
    float* out = op_.out.row<float>(token(n)) + head(n) * head_dim_;
    const float* sums = work_.sums + n * sums_stride_;
    float scale = 1.0f / work_.states[n].total;
    for (int64_t d = 0; d < head_dim_; d++) out[d] = sums[d] * scale;
  }

  const PagedAttention& op_;
  const Item& item_;
  const Item* next_;
  const Workspace& work_;
  int64_t group_, queries_, head_dim_, sums_stride_;
};

template <class T>
void attend_all(ThreadPool& pool, const PagedAttention& op) {
  int64_t group = op.heads / op.cache.kv_heads, head_dim = op.cache.head_dim;
  int64_t tokens_per_item = larger(kItemQueries / group, int64_t{1});
  int64_t queries = tokens_per_item * group;
  Carver count;
  Workspace(count, queries, head_dim);
  char* memory = static_cast<char*>(pool.scratch(count.used() * pool.size()));
  std::atomic<int64_t> next_ticket = 0;
  auto worker_body = [&](int worker) {
    Carver carver(memory + worker * count.used());
    Workspace work(carver, queries, head_dim);
    std::memset(work.zeros, 0, head_dim * sizeof(float));
    ItemCursor cursor(op, tokens_per_item);
    auto take = [&](Item& item) { return cursor.seek(next_ticket.fetch_add(1, std::memory_order_relaxed), item); };
    Item item, next;
    for (bool more = take(item); more; item = next) {
      more = take(next);
      ItemRun<T>(op, item, more ? &next : nullptr, work).run();
    }
  };
  pool.run(worker_body);
}

}  // namespace

// Workers take items from a counter; which worker computes an item does not show in its bits. With few queries the
// bytes of keys and values bound it, with many the multiplications.
void paged_attention(ThreadPool& pool, const PagedAttention& op) {
  const KvCache& cache = op.cache;
  if (op.heads % cache.kv_heads != 0 || cache.head_dim % 4 != 0)
    throw Error(ExitCode::internal, "paged_attention: heads must be a multiple of kv_heads, head_dim of 4");
  for (int64_t t = op.step.row_begin[op.step.rows]; t < op.step.tokens; t++)
    std::memset(op.out.row<float>(t), 0, op.out.cols * sizeof(float));
  if (cache.dtype == DType::bf16)
    attend_all<uint16_t>(pool, op);
  else
    attend_all<float>(pool, op);
}

}  // namespace penstock::cpu::PENSTOCK_ISA
