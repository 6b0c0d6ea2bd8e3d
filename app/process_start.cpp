#include "app/process_start.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "engine/stage_timer.h"

namespace penstock {
namespace {

// Field 22 of /proc/self/stat: clock ticks from the machine's start to the process's. -1: not there.
double ticks_at_start() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));  // after the program's name
  std::string field;
  double ticks = -1;
  for (int number = 3; number < 22; ++number) fields >> field;
  return fields >> ticks ? ticks : -1;
}

double find_start() {
  const double ticks = ticks_at_start();
  timespec since_boot;
  if (ticks < 0 || ::clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) return monotonic_seconds();
  const double now = static_cast<double>(since_boot.tv_sec) + static_cast<double>(since_boot.tv_nsec) * 1e-9;
  return monotonic_seconds() - (now - ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)));
}

}  // namespace

double process_start_seconds() {
  static const double start = find_start();
  return start;
}

}  // namespace penstock
