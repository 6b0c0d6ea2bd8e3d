#include "app/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "engine/stage_timer.h"

namespace penstock {

Progress::Progress(ProgressMode mode, uint64_t total_bytes) : start_(monotonic_seconds()), total_bytes_(total_bytes) {
  const bool terminal = ::isatty(STDERR_FILENO);
  bar_ = mode == ProgressMode::bar || (mode == ProgressMode::automatic && terminal);
  if (mode != ProgressMode::none) interval_ = bar_ ? 0.2 : 10;
  next_ = start_ + interval_;
}

Progress::~Progress() {
  if (drawn_) std::fputc('\n', stderr);
}

void Progress::update(const RunStats& stats, uint64_t bytes_read, int64_t in_flight) {
  const double now = monotonic_seconds();
  if (interval_ == 0 || now < next_) return;
  next_ = now + interval_;
  const double elapsed = now - start_;
  const double token_rate = static_cast<double>(stats.completion_tokens) / elapsed;
  // Lines in flight have been read and not been answered: they do not count as done.
  const double answered_share = stats.lines > 0 ? static_cast<double>(stats.lines - in_flight) / stats.lines : 0;
  const double read_share = total_bytes_ > 0 ? static_cast<double>(bytes_read) / total_bytes_ : 0;
  const double share = std::clamp(answered_share * read_share, 0.0, 1.0);

  std::string text;
  if (bar_ && total_bytes_ > 0) {
    const int width = 30, full = static_cast<int>(share * width);
    text = "[" + std::string(full, '#') + std::string(width - full, '.') + "] ";
  }
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, "%lld answered, %lld errors, %lld in flight, %.0f tokens/s, %.0f s",
                static_cast<long long>(stats.already_answered + stats.answered), static_cast<long long>(stats.errors),
                static_cast<long long>(in_flight), token_rate, elapsed);
  text += numbers;
  if (total_bytes_ > 0) {
    std::snprintf(numbers, sizeof numbers, ", %.0f %%", share * 100);
    text += numbers;
  }
  std::fprintf(stderr, bar_ ? "\r\033[K%s" : "penstock: %s\n", text.c_str());
  drawn_ = bar_;
}

}  // namespace penstock
