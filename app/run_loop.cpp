#include "app/run_loop.h"

#include <poll.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace penstock {

namespace {

// A sequence's tag names its request and its place there.
constexpr int kIndexBits = 24;
uint64_t make_tag(uint64_t key, size_t index) { return key << kIndexBits | index; }

// Few enough that answers do not queue behind prompts, enough that the workers never wait.
constexpr int64_t kMaxPreparing = 64;

}  // namespace

RunLoop::RunLoop(const RunParts& parts, const RunLimits& limits, Items& items)
    : parts_(parts), limits_(limits), items_(items) {}

RunEnd RunLoop::run() {
  while (true) {
    stop_when_asked();
    collect_prepared();
    Fleet* fleet = parts_.engine.get();
    if (fleet) collect_sequences(*fleet);
    collect_records();
    take_lines();
    start_preparing();
    if (fleet) admit(*fleet);
    if (nothing_left()) return dropped_ == 0 && input_done_ ? RunEnd::answered : RunEnd::stopped;
    const bool out_of_time = stop_deadline_ > 0 && monotonic_seconds() >= stop_deadline_;
    if (out_of_time || parts_.signals.count() > 1) return RunEnd::cut_short;
    parts_.progress.update(parts_.stats, parts_.input.bytes_read(), static_cast<int64_t>(items_.size()));
    sleep();
  }
}

bool RunLoop::window_is_open() const {
  if (stop_deadline_ > 0) return false;
  if (items_.empty() && parts_.writer.held() == 0) return true;
  return static_cast<int64_t>(items_.size()) + parts_.writer.held() < limits_.requests &&
         line_bytes_ + parts_.writer.held_bytes() < limits_.line_bytes;
}

void RunLoop::take_lines() {
  const StageTimer timer(parts_.times, Stage::read);
  while (window_is_open() && !input_done_) {
    const auto line = parts_.input.next();
    starved_ = !line;
    if (starved_) {
      input_done_ = parts_.input.at_end();
      return;
    }
    take_line(*line);
  }
}

void RunLoop::take_line(const InputLine& line) {
  ++parts_.stats.lines;
  auto taken = parts_.intake.take(line);
  if (const PassedOver* why = std::get_if<PassedOver>(&taken)) {
    ++(*why == PassedOver::answered ? parts_.stats.already_answered : parts_.stats.other_shards);
    return;
  }
  const uint64_t key = next_key_++;
  if (RefusedLine* refused = std::get_if<RefusedLine>(&taken)) {
    finish(key, format_error(refused->error, refused->request_id), refused->error.code);
    return;
  }
  items_[key].line_bytes = static_cast<int64_t>(line.bytes);
  line_bytes_ += static_cast<int64_t>(line.bytes);
  to_prepare_.push_back({key, std::move(std::get<NewRequest>(taken))});
}

void RunLoop::start_preparing() {
  while (!to_prepare_.empty() && preparing_ < kMaxPreparing && prepared_bytes_ < limits_.prepared_bytes) {
    Waiting& next = to_prepare_.front();
    parts_.workers.prepare(next.key, std::move(next.request.request), std::move(next.request.parameters),
                           std::move(next.request.request_id));
    to_prepare_.pop_front();
    ++preparing_;
  }
}

void RunLoop::collect_prepared() {
  for (PreparedItem& done : parts_.workers.take_prepared()) {
    --preparing_;
    if (RefusedLine* refused = std::get_if<RefusedLine>(&done.result)) {
      finish(done.key, format_error(refused->error, refused->request_id), refused->error.code);
      continue;
    }
    Item& item = items_.at(done.key);
    item.prepared = std::move(std::get<std::unique_ptr<PreparedRequest>>(done.result));
    item.prepared_bytes = bytes_of(*item.prepared);
    prepared_bytes_ += item.prepared_bytes;
    item.missing = item.prepared->sequences.size();
    item.outputs.resize(item.missing);
    if (item.missing == 0)
      complete(done.key);
    else if (stop_deadline_ > 0)
      drop(done.key);
    else
      to_admit_.push_back(done.key);
  }
}

void RunLoop::admit(Fleet& fleet) {
  while (!to_admit_.empty()) {
    const uint64_t key = to_admit_.front();
    const Item& item = items_.at(key);
    const auto count = static_cast<int64_t>(item.missing);
    if (sequences_ > 0 && sequences_ + count > limits_.sequences) return;
    to_admit_.pop_front();
    sequences_ += count;
    std::vector<SequenceInput> inputs = item.prepared->sequences;
    for (size_t index = 0; index < inputs.size(); ++index) {
      inputs[index].tag = make_tag(key, index);
      if (inputs[index].choice == 0) ++next_request_;  // the choices of one prompt share a number
      inputs[index].request = next_request_;
    }
    fleet.add(std::move(inputs));
  }
}

void RunLoop::collect_sequences(Fleet& fleet) {
  std::vector<SequenceOutput> ended;
  try {
    ended = fleet.take_finished(std::chrono::milliseconds(0));
  } catch (...) {
    await_records();
    throw;
  }
  for (SequenceOutput& output : ended) {
    --sequences_;
    const uint64_t key = output.tag >> kIndexBits;
    Item& item = items_.at(key);
    if (output.reason == FinishReason::none) {
      item.dropped = true;
    } else {
      parts_.stats.add(output);
      durations_.add(output.total_seconds - output.queue_seconds);
    }
    item.outputs[output.tag & ((uint64_t{1} << kIndexBits) - 1)] = std::move(output);
    if (--item.missing > 0) continue;
    if (item.dropped)
      drop(key);
    else
      complete(key);
  }
}

void RunLoop::complete(uint64_t key) {
  const Item& item = items_.at(key);
  parts_.workers.complete(key, *item.prepared, item.outputs);
  ++completing_;
}

void RunLoop::collect_records() {
  for (RecordItem& done : parts_.workers.take_records()) {
    --completing_;
    parts_.stats.prompt_tokens += done.record.prompt_tokens;
    parts_.stats.completion_tokens += done.record.completion_tokens;
    finish(done.key, std::move(done.record.text), done.record.error_code);
  }
}

// Those of sequences that have all ended, when nothing else will come.
void RunLoop::await_records() {
  for (const double end = monotonic_seconds() + 5; completing_ > 0 && monotonic_seconds() < end;) {
    pollfd wait{parts_.wake.descriptor(), POLLIN, 0};
    ::poll(&wait, 1, 100);
    parts_.wake.drain();
    collect_records();
  }
}

// error_code: of an error record; none for an answer.
void RunLoop::finish(uint64_t key, std::string record, const std::optional<std::string>& error_code) {
  ++(error_code ? parts_.stats.errors : parts_.stats.answered);
  if (error_code) ++parts_.stats.error_codes[*error_code];
  parts_.writer.write(key, std::move(record), error_code.has_value());
  parts_.stats.written = parts_.writer.written();
  if (parts_.stats.first_record_seconds == 0)
    parts_.stats.first_record_seconds = monotonic_seconds() - parts_.process_start;
  erase(key);
}

void RunLoop::erase(uint64_t key) {
  const auto found = items_.find(key);
  if (found == items_.end()) return;  // refused before it became an item
  line_bytes_ -= found->second.line_bytes;
  prepared_bytes_ -= found->second.prepared_bytes;
  items_.erase(found);
}

void RunLoop::drop(uint64_t key) {
  ++dropped_;
  erase(key);
}

void RunLoop::stop_when_asked() {
  const double now = monotonic_seconds();
  if (parts_.signals.count() > 0 && !signal_came_) {
    signal_came_ = true;
    stop(std::min(parts_.signals.first_seconds() + parts_.grace_seconds, parts_.deadline.last_answer()));
  } else if (stop_deadline_ == 0 && now >= deadline_check_ && deadline_is_near(now)) {
    deadline_came_ = true;
    stop(parts_.deadline.last_answer());
  }
}

// Whether a sequence that began now would hardly end in time. If not, says when to ask again: in a second the time that
// is left shrinks by a second, and the time that is wanted grows by little more while nothing ends.
bool RunLoop::deadline_is_near(double now) {
  if (!parts_.deadline.is_set()) {
    deadline_check_ = std::numeric_limits<double>::infinity();
    return false;
  }
  const Fleet* fleet = parts_.engine.get();
  const double wanted = Deadline::seconds_wanted(durations_, fleet ? fleet->running_seconds() : std::vector<double>());
  const double spare = parts_.deadline.last_answer() - now - wanted;
  deadline_check_ = now + std::max(spare / 2.5, 0.001);
  return spare <= 0;
}

// Admits nothing more. What has not reached the engine is left to the next run; what has, but never ran, comes back
// from it as FinishReason::none.
void RunLoop::stop(double last_answer) {
  const bool stopping = stop_deadline_ > 0;
  stop_deadline_ = stopping ? std::min(stop_deadline_, last_answer) : last_answer;
  if (stopping) return;
  for (const Waiting& waiting : to_prepare_) drop(waiting.key);
  to_prepare_.clear();
  for (const uint64_t key : to_admit_) drop(key);
  to_admit_.clear();
  if (Fleet* fleet = parts_.engine.get()) fleet->stop_admission();
}

bool RunLoop::nothing_left() const { return items_.empty() && (input_done_ || stop_deadline_ > 0); }

void RunLoop::sleep() {
  const bool wants_input = starved_ && !input_done_ && window_is_open();
  int milliseconds = parts_.progress.poll_milliseconds();
  const double wake = stop_deadline_ > 0 ? stop_deadline_ : deadline_check_;
  if (std::isfinite(wake)) {
    const double left = std::clamp(std::ceil((wake - monotonic_seconds()) * 1000), 0.0, 1e6);
    milliseconds = milliseconds < 0 ? static_cast<int>(left) : std::min(milliseconds, static_cast<int>(left));
  }
  if (!starved_ && !input_done_ && window_is_open()) milliseconds = 0;
  pollfd waits[3] = {{parts_.signals.descriptor(), POLLIN, 0},
                     {parts_.wake.descriptor(), POLLIN, 0},
                     {wants_input ? parts_.input.descriptor() : -1, POLLIN, 0}};
  if (::poll(waits, 3, milliseconds) <= 0) return;
  parts_.signals.drain();
  parts_.wake.drain();
  const StageTimer timer(parts_.times, Stage::read);
  if (waits[2].revents != 0) parts_.input.fill();
}

}  // namespace penstock
