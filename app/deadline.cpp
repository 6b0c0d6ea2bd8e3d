#include "app/deadline.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/json.h"
#include "kernels/error.h"

namespace penstock {

namespace {

// What flushing, fsync on a busy file system and the report may take.
constexpr double kSecondsToLeave = 2;
// Of a short run, that much would be most of it.
constexpr double kShareToLeave = 0.2;

// Percentiles are right within 4.5 %, and no two requests take the same time.
constexpr double kMargin = 1.1;

// Later than that is a mistake in the unit.
constexpr double kMostSeconds = 1e9;

double seconds_of_unit(char unit) {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86400;
    default:
      return 0;
  }
}

Error bad_deadline(const std::string& text) {
  return Error(ExitCode::usage,
               "--deadline must be a time like 90, 45s or 2h30m, @ and a Unix time, or none; not " + quote(text));
}

// A number without sign, exponent or inf at `position`, which moves behind it.
double read_number(const std::string& text, size_t& position, const std::string& whole) {
  double value = 0;
  const char* const begin = text.data() + position;
  const auto [stop, error] = std::from_chars(begin, text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || !(value >= 0 && value <= kMostSeconds * 10)) throw bad_deadline(whole);
  position += static_cast<size_t>(stop - begin);
  return value;
}

}  // namespace

double parse_duration(const std::string& text) {
  double seconds = 0, last_unit = std::numeric_limits<double>::infinity();
  size_t position = 0;
  do {
    const double value = read_number(text, position, text);
    const bool bare = position == text.size() && std::isinf(last_unit);  // "90"
    const double unit = bare ? 1 : position < text.size() ? seconds_of_unit(text[position++]) : 0;
    if (unit == 0 || unit >= last_unit) throw bad_deadline(text);  // "2h3h" is a slip of the hand
    last_unit = unit;
    seconds += value * unit;
  } while (position < text.size());
  if (!(seconds > 0 && seconds <= kMostSeconds)) throw bad_deadline(text);
  return seconds;
}

Deadline::Deadline(double end, double now)
    : last_answer_(std::max(now, end - std::clamp((end - now) * kShareToLeave, 0.0, kSecondsToLeave))) {}

double Deadline::seconds_wanted(Histogram finished, const std::vector<double>& running) {
  for (const double seconds : running) finished.add(seconds);
  return finished.percentile(0.9) * kMargin;
}

Deadline find_deadline(const std::string& flag, const Environment& environment, double start, double now,
                       double unix_now) {
  if (flag == "none") return {};
  double end = std::numeric_limits<double>::infinity();
  if (flag.starts_with('@')) {
    size_t position = 1;
    end = now + read_number(flag, position, flag) - unix_now;
    if (position != flag.size()) throw bad_deadline(flag);
  } else if (!flag.empty()) {
    end = start + parse_duration(flag);
  }
  if (const auto job_end = job_end_time(environment)) end = std::min(end, now + *job_end - unix_now);
  return end < std::numeric_limits<double>::infinity() ? Deadline(end, now) : Deadline();
}

}  // namespace penstock
