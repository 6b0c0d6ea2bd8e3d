// The main thread of a run: lines in, records out, and everything between in bounded memory.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "app/deadline.h"
#include "app/engine_loader.h"
#include "app/input_reader.h"
#include "app/intake.h"
#include "app/progress.h"
#include "app/record_writer.h"
#include "app/run_limits.h"
#include "app/run_stats.h"
#include "app/signals.h"
#include "app/text_workers.h"

namespace penstock {

struct RunParts {  // all outlive the loop
  InputReader& input;
  Intake& intake;
  TextWorkers& workers;
  EngineLoader& engine;
  RecordWriter& writer;
  StopSignals& signals;
  const WakeUp& wake;
  Progress& progress;
  RunStats& stats;
  StageTimes& times;
  double grace_seconds;
  Deadline deadline;
  double process_start;  // monotonic
};

enum class RunEnd {
  answered,   // every line has its record
  stopped,    // by a signal or the deadline; what had begun has been finished
  cut_short,  // by a second signal, the end of --grace or the deadline; sequences are still running
};

class RunLoop {
 public:
  // A request between its line and its record.
  struct Item {
    int64_t line_bytes = 0;
    int64_t prepared_bytes = 0;
    std::unique_ptr<PreparedRequest> prepared;
    std::vector<SequenceOutput> outputs;  // by index in prepared->sequences
    size_t missing = 0;                   // outputs
    bool dropped = false;                 // a sequence never ran
  };
  using Items = std::unordered_map<uint64_t, Item>;

  // `items` (empty) is what the workers and the engine refer to: it must outlive both.
  RunLoop(const RunParts& parts, const RunLimits& limits, Items& items);

  // Errors: what the engine, the input or the output throw; the output is then a valid prefix.
  RunEnd run();
  bool deadline_came() const { return deadline_came_; }

 private:
  bool window_is_open() const;
  void take_lines();
  void take_line(const InputLine& line);
  void start_preparing();
  void collect_prepared();
  void admit(Fleet& fleet);
  void collect_sequences(Fleet& fleet);
  void complete(uint64_t key);
  void collect_records();
  void await_records();
  void finish(uint64_t key, std::string record, const std::optional<std::string>& error_code);
  void erase(uint64_t key);
  void drop(uint64_t key);
  void stop_when_asked();
  bool deadline_is_near(double now);
  void stop(double last_answer);
  void sleep();
  bool nothing_left() const;

  RunParts parts_;
  RunLimits limits_;
  Items& items_;
  struct Waiting {
    uint64_t key;
    NewRequest request;
  };
  std::deque<Waiting> to_prepare_;
  std::deque<uint64_t> to_admit_;
  uint64_t next_key_ = 0;
  uint64_t next_request_ = 0;  // the engine's number for the choices of one prompt
  int64_t line_bytes_ = 0, prepared_bytes_ = 0, sequences_ = 0, preparing_ = 0, completing_ = 0;
  int64_t dropped_ = 0;
  bool starved_ = true;  // the reader has no whole line
  bool input_done_ = false;
  double stop_deadline_ = 0;  // 0: not stopping yet
  bool signal_came_ = false, deadline_came_ = false;
  Histogram durations_;        // of sequences, from their first step to their end
  double deadline_check_ = 0;  // when the deadline may next be near
};

}  // namespace penstock
