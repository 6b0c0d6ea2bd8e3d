// `penstock merge`: the outputs of shards as one file, in the order of the input.
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>

#include "app/commands.h"
#include "app/input_file.h"
#include "app/intake.h"
#include "app/record_parts.h"
#include "app/signals.h"

namespace penstock {

namespace {

struct Options {
  std::string input, output = "-";
  std::string errors;  // a second output, for error records; empty: none
  bool overwrite = false;
  std::vector<std::string> parts;
};

Error stopped() { return Error(ExitCode::stopped_early, "stopped by a signal; the same command starts anew"); }

// The first of many messages of a kind, and how many more there are.
class Complaints {
 public:
  void add(const std::string& message) {
    if (++count_ <= kShown) std::fprintf(stderr, "penstock: %s\n", message.c_str());
  }
  void summarise(const char* what) const {
    if (count_ > kShown) std::fprintf(stderr, "penstock: … and %lld more %s\n", more(), what);
  }
  int64_t count() const { return count_; }

 private:
  static constexpr int64_t kShown = 10;
  long long more() const { return static_cast<long long>(count_ - kShown); }
  int64_t count_ = 0;
};

// One of the two outputs. A file is replaced as a whole once all has been written; a pipe gets lines as they come.
class Target {
 public:
  explicit Target(const std::string& path)
      : path_(path), is_new_(path != "-" && ::access(path.c_str(), F_OK) != 0), file_(path) {}
  // One that has been created and never filled is not left behind.
  ~Target() {
    if (!is_new_ || filled_ || !file_.is_journal()) return;
    std::error_code ignored;
    std::filesystem::remove(std::filesystem::canonical(path_, ignored), ignored);
  }

  OutputFile& file() { return file_; }

  void write(const std::function<void()>& content, const std::function<bool()>& stop) {
    const auto fill = [&](int descriptor) {
      descriptor_ = descriptor;
      stop_ = stop;
      content();
      flush();
    };
    if (file_.is_journal())
      file_.replace(fill);
    else
      fill(file_.descriptor());
    filled_ = true;
    file_.sync();
  }

  void append(std::string_view record) {
    buffer_.append(record).push_back('\n');
    if (buffer_.size() >= 1 << 20) flush();
  }

  void flush() {
    const int error_number = write_all(descriptor_, buffer_.data(), buffer_.size(), stop_);
    if (error_number != 0 && stop_()) throw stopped();
    if (error_number != 0) throw Error(ExitCode::io, file_.name() + ": " + std::strerror(error_number));
    buffer_.clear();
  }

 private:
  std::string path_;
  bool is_new_, filled_ = false;
  OutputFile file_;
  int descriptor_ = -1;
  std::function<bool()> stop_;
  std::string buffer_;
};

class Merge {
 public:
  explicit Merge(const Options& options) : options_(options), input_(options.input), parts_(options.parts) {
    expect_different_files();
  }

  ExitCode execute() {
    parts_.read([this](const std::string& message) { notes_.add(message); }, [this] { leave_when_asked(); });
    notes_.summarise("notes on the parts");
    Target output(options_.output);
    std::optional<Target> errors;
    if (!options_.errors.empty()) errors.emplace(options_.errors);
    for (Target* target : {&output, errors ? &*errors : nullptr})
      if (target && target->file().is_journal() && !options_.overwrite)
        parts_.expect_all_of(RecordFile(target->file()));

    const auto stop = [this] { return signals_.count() > 0; };
    const auto content = [&] {
      stream(output, errors ? *errors : output);
      if (errors) errors->flush();  // before the output is replaced: the disk may be full
    };
    if (errors)
      errors->write([&] { output.write(content, stop); }, stop);
    else
      output.write(content, stop);
    return finish();
  }

 private:
  void expect_different_files() const {
    const FileIdentity input = identify(input_.descriptor());
    const FileIdentity output = options_.output == "-" ? identify(STDOUT_FILENO) : identify(options_.output);
    const FileIdentity errors = options_.errors.empty() ? FileIdentity() : identify(options_.errors);
    const auto expect = [](bool differ, const char* names) {
      if (!differ) throw Error(ExitCode::usage, std::string(names) + " are the same file");
    };
    expect(!same_file(input, output), "--input and --output");
    expect(!same_file(input, errors), "--input and --errors");
    expect(!same_file(output, errors), "--output and --errors");
    expect(!parts_.holds_file(input), "--input and a part");
    expect(!parts_.holds_file(output), "--output and a part");
    expect(!parts_.holds_file(errors), "--errors and a part");
  }

  void leave_when_asked() const {
    if (signals_.count() > 0) throw stopped();
  }

  void stream(Target& output, Target& errors) {
    const ParseLimits limits{.vocab = std::numeric_limits<int32_t>::max()};  // no id depends on the vocabulary
    InputReader reader(input_.descriptor(), input_.name(), static_cast<uint64_t>(limits.max_line_bytes));
    do {
      while (const auto line = reader.next()) {
        leave_when_asked();
        merge_line(*line, limits, output, errors);
      }
      wait_for_input();
    } while (reader.fill() || !reader.drained());
    gaps_.summarise("lines without a record");
    parts_.expect_all_taken();
  }

  // read() begins again after a signal.
  void wait_for_input() const {
    pollfd waits[2] = {{input_.descriptor(), POLLIN, 0}, {signals_.descriptor(), POLLIN, 0}};
    ::poll(waits, 2, -1);
    leave_when_asked();
  }

  void merge_line(const InputLine& line, const ParseLimits& limits, Target& output, Target& errors) {
    ++lines_;
    Record record;
    std::string id = id_of(parse_line(line, limits));
    RecordParts::Taken taken = parts_.take(id, record);
    // A second line with a used id has its record under its number.
    if (taken == RecordParts::Taken::taken_before) taken = parts_.take(id = line_id(line.number), record);
    if (taken == RecordParts::Taken::record) {
      error_records_ += record.is_error;
      (record.is_error ? errors : output).append(record.text);
    } else {
      gaps_.add("line " + std::to_string(line.number) + ": no part has a record of the id " + quote(id));
    }
  }

  ExitCode finish() const {
    std::fprintf(stderr, "penstock: %lld lines: %lld answers, %lld error records, %lld missing; %lld duplicates\n",
                 static_cast<long long>(lines_), static_cast<long long>(lines_ - gaps_.count() - error_records_),
                 static_cast<long long>(error_records_), static_cast<long long>(gaps_.count()),
                 static_cast<long long>(parts_.duplicates()));
    const bool complete = gaps_.count() == 0 && parts_.duplicates() == 0 && error_records_ == 0;
    return complete ? ExitCode::ok : ExitCode::some_records_failed;
  }

  const Options& options_;
  InputFile input_;
  StopSignals signals_;
  RecordParts parts_;
  Complaints notes_, gaps_;
  int64_t lines_ = 0, error_records_ = 0;
};

}  // namespace

void add_merge_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "merge", "put the outputs of shards into the order of the input; 65 when lines are missing or answered twice");
  command->add_option("-i,--input", options->input, "the JSONL requests of the shards; -: standard input")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("-o,--output", options->output,
                   "replaced as a whole, if the parts have all that it holds; -: standard output")
      ->capture_default_str()
      ->type_name("FILE");
  command->add_option("--errors", options->errors, "error records go here instead of the output")->type_name("FILE");
  command->add_flag("--overwrite", options->overwrite, "replace the output whatever it holds");
  command->add_option("PART", options->parts, "outputs and --errors files of the shards")->required();
  command->final_callback([options, &chosen] { chosen = [options] { return Merge(*options).execute(); }; });
}

}  // namespace penstock
