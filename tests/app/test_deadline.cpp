#include "app/deadline.h"

#include <cmath>
#include <map>

#include "app/slurm.h"
#include "kernels/error.h"
#include "tests/support/catch.h"

using namespace penstock;

namespace {

Environment environment(const std::map<std::string, std::string>& variables) {
  return [variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

const Environment kNone = environment({});

bool is_usage_error(const std::function<void()>& action, const std::string& word) {
  try {
    action();
  } catch (const Error& error) {
    return error.code() == ExitCode::usage && std::string(error.what()).find(word) != std::string::npos;
  }
  return false;
}

// 1000 s after the start of the machine, 5 s after that of the process, at a Unix time of 2'000'000.
Deadline find(const std::string& flag, const Environment& variables) {
  return find_deadline(flag, variables, 995, 1000, 2'000'000);
}

}  // namespace

TEST_CASE("durations are read with their units") {
  const std::pair<const char*, double> good[] = {
      {"90", 90},        {"0.5", 0.5},        {"45s", 45},   {"2m", 120},         {"2h30m", 9000},
      {"1.5d", 1.296e5}, {"1d2h3m4s", 93784}, {"0h90s", 90}, {"1000000000", 1e9},
  };
  for (const auto& [text, seconds] : good) CHECK(parse_duration(text) == seconds);
  for (const char* text : {"",    " ",   "0",   "0s",   "-1",   "+1",   "s",    "5x",   "5S",         "1 h",   "5s ",
                           "1e3", "nan", "inf", "0x10", "2h3h", "3m2h", "2h30", "1:00", "1000000001", "1.2.3", "."}) {
    INFO(text);
    CHECK(is_usage_error([&] { parse_duration(text); }, "--deadline"));
  }
}

TEST_CASE("the deadline is the earlier of the flag's and the job's") {
  CHECK(!find("", kNone).is_set());
  // 2 s are kept for leaving, of a short time a fifth.
  CHECK(find("100", kNone).last_answer() == 995 + 100 - 2);
  CHECK(find("6", kNone).last_answer() == Approx(995 + 6 - 0.2));
  CHECK(find("@2000100", kNone).last_answer() == 1100 - 2);
  const Environment job = environment({{"SLURM_JOB_END_TIME", "2000060"}});
  CHECK(find("", job).last_answer() == 1060 - 2);
  CHECK(find("100", job).last_answer() == 1060 - 2);
  CHECK(find("45", job).last_answer() == 1040 - 2);
  CHECK(find("@2000100", job).last_answer() == 1060 - 2);
  CHECK(!find("none", job).is_set());
  CHECK(!find("none", environment({{"SLURM_JOB_END_TIME", "x"}})).is_set());
  CHECK(!find("", environment({{"SLURM_JOB_END_TIME", "0"}})).is_set());
  // What is past is now: a monotonic clock knows no time before the machine's start.
  for (const Deadline& past :
       {find("@1", kNone), find("", environment({{"SLURM_JOB_END_TIME", "1"}})), find("1", kNone)})
    CHECK(past.last_answer() == 1000);
}

TEST_CASE("a deadline that cannot be read is a usage error by name") {
  for (const char* flag : {"@", "@x", "@-1", "@1x", "@@1", "@1e5", "@nan", "tomorrow", "None"}) {
    INFO(flag);
    CHECK(is_usage_error([&] { find(flag, kNone); }, "--deadline"));
  }
  for (const char* value : {"", "x", "-1", "1.5", "2026-11-27T12:00:00", "UNLIMITED", "99999999999999999999"}) {
    INFO(value);
    CHECK(is_usage_error([&] { find("", environment({{"SLURM_JOB_END_TIME", value}})); }, "SLURM_JOB_END_TIME"));
    CHECK(is_usage_error([&] { find("5", environment({{"SLURM_JOB_END_TIME", value}})); }, "SLURM_JOB_END_TIME"));
  }
}

TEST_CASE("the time that is wanted follows what has been measured") {
  Histogram finished;
  CHECK(Deadline::seconds_wanted(finished, {}) == 0);
  // Nothing has ended yet: what runs is all that is known.
  CHECK(Deadline::seconds_wanted(finished, {10, 10, 10, 10}) == Approx(11));
  for (int i = 0; i < 95; ++i) finished.add(2);
  CHECK(Deadline::seconds_wanted(finished, {}) == Approx(2.2));
  // A few long ones do not count, many do.
  CHECK(Deadline::seconds_wanted(finished, {100, 100, 100, 100, 100}) == Approx(2.2).epsilon(0.05));
  CHECK(Deadline::seconds_wanted(finished, std::vector<double>(64, 100)) == Approx(110).epsilon(0.05));
  // Those that have just begun tell little.
  CHECK(Deadline::seconds_wanted(finished, std::vector<double>(64, 0.01)) == Approx(2.2).epsilon(0.05));
}
