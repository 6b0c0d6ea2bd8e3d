// Where the reports of a run go.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "app/file_identity.h"
#include "app/output_file.h"
#include "app/report.h"
#include "app/report_page.h"
#include "engine/system_call.h"

namespace penstock {

namespace {

int open_report(const std::string& path, int flags) {
  return uninterrupted([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | flags, 0666); });
}

Error failure(ExitCode code, const char* flag, const std::string& path, int error_number) {
  return Error(code, flag + (": " + path) + ": " + std::strerror(error_number));
}

void check(const char* flag, const std::string& path) {
  if (path.empty()) return;
  const int descriptor = open_report(path, 0);
  if (descriptor < 0) throw failure(ExitCode::cannot_create, flag, path, errno);
  ::close(descriptor);
}

void write(const char* flag, const std::string& path, const std::string& text) {
  const int descriptor = open_report(path, O_TRUNC);
  if (descriptor < 0) throw failure(ExitCode::io, flag, path, errno);
  int error_number = write_all(descriptor, text.data(), text.size(), {});
  const auto note = [&](int result, std::initializer_list<int> harmless) {
    const bool is_harmless = std::find(harmless.begin(), harmless.end(), errno) != harmless.end();
    if (result != 0 && error_number == 0 && !is_harmless) error_number = errno;
  };
  note(uninterrupted([&] { return ::fsync(descriptor); }), {EINVAL, EROFS, ENOTSUP});  // pipes and devices
  note(::close(descriptor), {EINTR});
  if (error_number != 0) throw failure(ExitCode::io, flag, path, error_number);
}

}  // namespace

void check_report_files(const ReportFiles& files) {
  if (!files.json.empty() && !files.html.empty() && same_file(identify(files.json), identify(files.html)))
    throw Error(ExitCode::usage, "--report and --report-html are the same file");
  check("--report", files.json);
  check("--report-html", files.html);
}

void write_reports(const ReportInput& input, const ReportFiles& files) {
  if (!files.wanted()) return;
  // Paths need not be UTF-8, and both reports have to be.
  const std::string json = make_report(input).dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  if (!files.json.empty()) write("--report", files.json, json);
  if (!files.html.empty()) write("--report-html", files.html, report_page(parse_ordered_json(json)));
}

}  // namespace penstock
