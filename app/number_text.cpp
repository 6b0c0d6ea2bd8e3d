#include "app/number_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace penstock {

namespace {

// With `digits` significant digits, but never fewer than the integral part has, and without zeros at its end.
std::string digits_text(double value, int digits) {
  const int integral = value >= 1 ? static_cast<int>(std::log10(value)) + 1 : 1;
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", std::max(0, digits - integral), value);
  std::string result = text;
  if (result.find('.') == std::string::npos) return result;
  result.erase(result.find_last_not_of('0') + 1);
  if (result.back() == '.') result.pop_back();
  return result;
}

std::string with_commas(std::string digits) {
  const size_t end = std::min(digits.find('.'), digits.size());
  for (size_t i = end; i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

}  // namespace

std::string escape_markup(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '"')
      escaped += "&quot;";
    else if (c == '\'')
      escaped += "&#39;";
    else if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
      escaped += "\uFFFD";
    else
      escaped += c;
  }
  return escaped;
}

std::string count_text(double value) { return with_commas(digits_text(value, 3)); }

std::string short_count_text(double value) {
  if (value >= 999.5e6) return digits_text(value / 1e9, 3) + "G";
  if (value >= 999.5e3) return digits_text(value / 1e6, 3) + "M";
  if (value >= 9999.5) return digits_text(value / 1e3, 3) + "k";
  return count_text(value);
}

std::string seconds_text(double seconds) {
  if (seconds == 0) return "0 s";
  if (seconds < 0.9995e-3) return digits_text(seconds * 1e6, 3) + " µs";
  if (seconds < 0.9995) return digits_text(seconds * 1e3, 3) + " ms";
  if (seconds < 119.5) return digits_text(seconds, 3) + " s";
  return seconds < 7170 ? digits_text(seconds / 60, 3) + " min" : digits_text(seconds / 3600, 3) + " h";
}

TimeUnit time_unit_for(double seconds) {
  if (seconds < 1e-3) return {1e-6, "µs"};
  if (seconds < 1) return {1e-3, "ms"};
  if (seconds < 300) return {1, "s"};
  if (seconds < 3 * 3600) return {60, "min"};
  return {3600, "h"};
}

std::string bytes_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 999.5 && unit < 4; ++unit) bytes /= 1024;
  return digits_text(bytes, 3) + " " + units[unit];
}

std::string share_text(double share) {
  const double percent = share * 100;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  if (percent > 99.9 && percent < 100) return "> 99.9 %";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", percent);
  std::string digits = text;
  if (digits.ends_with(".0")) digits.resize(digits.size() - 2);
  return digits + " %";
}

Ticks ticks_for(double largest, int most, bool whole_numbers) {
  if (!(largest > 0)) return {};
  const double exact = largest / most;
  double step = std::pow(10.0, std::floor(std::log10(exact)));
  for (const double factor : {2.0, 2.5, 2.0})  // 1, 2, 5, 10
    if (step < exact * (1 - 1e-9)) step *= factor;
  if (whole_numbers) step = std::max(1.0, step);
  return {step, std::max(1, static_cast<int>(std::ceil(largest / step - 1e-9)))};
}

double time_step_for(double seconds, int most) {
  if (seconds <= most) return ticks_for(seconds, most).step;
  for (const double step : {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200})
    if (step * most >= seconds) return step;
  return 86400 * ticks_for(seconds / 86400, most, true).step;
}

std::string time_tick_text(double seconds, double step) {
  if (seconds == 0) return "0";
  if (step >= 3600) return digits_text(seconds / 3600, 1) + " h";
  if (step >= 60) return digits_text(seconds / 60, 1) + " min";
  if (step < 0.1) return digits_text(seconds * 1e3, 6) + " ms";
  char text[32];
  std::snprintf(text, sizeof text, "%.*f s", std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9))),
                seconds);
  return text;
}

}  // namespace penstock
