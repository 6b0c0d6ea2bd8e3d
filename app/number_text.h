// Numbers as people read them, and text as HTML holds it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace penstock {

// Safe as content and as an attribute's value, in HTML and XML. Control characters become U+FFFD; `text` is UTF-8.
std::string escape_markup(std::string_view text);

std::string count_text(double value);        // 0, 7.5, 1,234
std::string short_count_text(double value);  // 1,234, 12.3k, 4.5M: for axes
std::string seconds_text(double seconds);    // 12.3 µs, 4.5 ms, 1.25 s, 3.5 min, 2.5 h
std::string bytes_text(double bytes);        // 512 B, 257 MiB, 1.5 GiB
std::string share_text(double share);        // 0 %, 0.3 %, 12.5 %, 100 %

// The unit that leaves few digits of `seconds` before the point: for axes, whose labels have one unit.
struct TimeUnit {
  double seconds = 1;
  const char* name = "s";
};
TimeUnit time_unit_for(double seconds);

// Marks on an axis from 0 to at least `largest`: `step` is 1, 2 or 5 times a power of ten (whole numbers only: at least
// 1), and there are at most `most` of them after 0. For time in seconds the steps are those of clocks.
struct Ticks {
  double step = 1;
  int count = 1;  // after 0
  double end() const { return step * count; }
};
Ticks ticks_for(double largest, int most, bool whole_numbers = false);
double time_step_for(double seconds, int most);
std::string time_tick_text(double seconds, double step);

}  // namespace penstock
