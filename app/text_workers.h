// The pure halves of a request's way, on worker threads: text to ids before the engine, ids to a record after it.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include "app/signals.h"
#include "app/text_side.h"
#include "app/worker_pool.h"
#include "engine/stage_timer.h"

namespace penstock {

// A request that is ready for the engine, or the error that it got instead.
struct PreparedItem {
  uint64_t key = 0;
  std::variant<std::unique_ptr<PreparedRequest>, RefusedLine> result;
};
// A finished record.
struct RecordItem {
  uint64_t key = 0;
  FinishedRecord record;
};

// Used by the main thread; results come back through take_*, and `wake` is notified for each.
class TextWorkers {
 public:
  TextWorkers(int threads, const TextSide& side, StageTimes& times, const WakeUp& wake, bool timings);

  void prepare(uint64_t key, Request request, Parameters parameters, std::string request_id);
  // `prepared` and `outputs` are not touched by anyone else until the record has been taken.
  void complete(uint64_t key, const PreparedRequest& prepared, const std::vector<SequenceOutput>& outputs);

  std::vector<PreparedItem> take_prepared();
  std::vector<RecordItem> take_records();

 private:
  const TextSide& side_;
  StageTimes& times_;
  const WakeUp& wake_;
  bool timings_;
  std::mutex mutex_;
  std::vector<PreparedItem> prepared_;
  std::vector<RecordItem> records_;
  WorkerPool pool_;  // last: its threads end before what they write to
};

}  // namespace penstock
