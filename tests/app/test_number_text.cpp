#include "app/number_text.h"

#include <cmath>

#include "tests/support/catch.h"

namespace penstock {
namespace {

TEST_CASE("Numbers as people read them") {
  CHECK(count_text(0) == "0");
  CHECK(count_text(7.25) == "7.25");
  CHECK(count_text(999.6) == "1,000");
  CHECK(count_text(1234567) == "1,234,567");
  CHECK(short_count_text(9999) == "9,999");
  CHECK(short_count_text(9999.7) == "10k");
  CHECK(short_count_text(10000) == "10k");
  CHECK(short_count_text(12345) == "12.3k");
  CHECK(short_count_text(999960) == "1M");
  CHECK(short_count_text(4.5e9) == "4.5G");
  CHECK(bytes_text(512) == "512 B");
  CHECK(bytes_text(1023) == "1 KiB");
  CHECK(bytes_text(257.4 * 1024 * 1024) == "257 MiB");
  CHECK(bytes_text(2.5 * 1024 * 1024 * 1024) == "2.5 GiB");
}

TEST_CASE("Shares round to neither nothing nor everything") {
  CHECK(share_text(0) == "0 %");
  CHECK(share_text(0.0000001) == "< 0.1 %");
  CHECK(share_text(0.125) == "12.5 %");
  CHECK(share_text(0.9996) == "> 99.9 %");
  CHECK(share_text(1) == "100 %");
  CHECK(share_text(1.5) == "150 %");
}

TEST_CASE("Durations change their unit where the digits would become many") {
  CHECK(seconds_text(0) == "0 s");
  CHECK(seconds_text(12.34e-6) == "12.3 µs");
  CHECK(seconds_text(999.4e-6) == "999 µs");
  CHECK(seconds_text(999.6e-6) == "1 ms");
  CHECK(seconds_text(0.9996) == "1 s");
  CHECK(seconds_text(37.72) == "37.7 s");
  CHECK(seconds_text(119.6) == "1.99 min");
  CHECK(seconds_text(210) == "3.5 min");
  CHECK(seconds_text(9000) == "2.5 h");
}

TEST_CASE("Markup is escaped, and characters that XML forbids are replaced") {
  CHECK(escape_markup("<a href=\"x\">&'é\x01\x7f") == "&lt;a href=&quot;x&quot;&gt;&amp;&#39;é\uFFFD\uFFFD");
}

TEST_CASE("Ticks are round, few, and reach beyond the largest value") {
  for (double largest = 1e-9; largest < 1e12; largest *= 1.37) {
    INFO(largest);
    const Ticks ticks = ticks_for(largest, 4);
    const double factor = ticks.step / std::pow(10.0, std::floor(std::log10(ticks.step) + 1e-9));
    CHECK((std::abs(factor - 1) < 1e-6 || std::abs(factor - 2) < 1e-6 || std::abs(factor - 5) < 1e-6));
    CHECK(ticks.count <= 4);
    CHECK(ticks.count >= 1);
    CHECK(ticks.end() >= largest * (1 - 1e-6));
    CHECK(ticks.end() - ticks.step < largest);
    CHECK(ticks_for(largest, 4, true).step >= 1);
    const double step = time_step_for(largest, 4);
    CHECK(largest / step <= 4 + 1e-6);
    CHECK(largest / step >= 1);
  }
  CHECK(ticks_for(0, 4).end() == 1);
  CHECK(ticks_for(1, 4, true).count == 1);
}

TEST_CASE("Ticks of time carry the unit of their step") {
  CHECK(time_tick_text(0, 5) == "0");
  CHECK(time_tick_text(0.04, 0.02) == "40 ms");
  CHECK(time_tick_text(1.5, 0.5) == "1.5 s");
  CHECK(time_tick_text(90, 30) == "90 s");
  CHECK(time_tick_text(180, 60) == "3 min");
  CHECK(time_tick_text(7200, 3600) == "2 h");
}

}  // namespace
}  // namespace penstock
