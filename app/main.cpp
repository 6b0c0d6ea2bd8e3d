// penstock: subcommands, and how exceptions become exit codes.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "app/signals.h"

namespace penstock {
namespace {

constexpr const char* kVersion = "penstock 0.1.0";

// Lines of a --config file that stand under no [section] are flags of the chosen subcommand.
class FlagsFile : public CLI::ConfigTOML {
 public:
  explicit FlagsFile(const CLI::App& app) : app_(app) {}
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    auto items = CLI::ConfigTOML::from_config(input);
    const auto chosen = app_.get_subcommands();
    for (CLI::ConfigItem& item : items)
      if (item.parents.empty() && !chosen.empty()) item.parents = {chosen.front()->get_name()};
    return items;
  }

 private:
  const CLI::App& app_;
};

// A closed descriptor 0, 1 or 2 would be given to the next file that is opened, and a message would land in it.
void occupy_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    // Open the wrong way round: using it stays an error.
    [[maybe_unused]] const int ignored = ::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

int run(int argc, char** argv) {
  CLI::App app{"Runs a language model over a JSONL file: Hugging Face model folder in, JSONL in, JSONL out."};
  app.name("penstock");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  app.set_config("--config", "", "a file of flags, one a line: max-batch = 64")->type_name("FILE");
  app.config_formatter(std::make_shared<FlagsFile>(app));
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.footer(
      "Exit codes: 0 all answered, 64 usage, 65 some error records, 66 not found, 69 no device, 70 internal,\n"
      "73 output not usable, 74 I/O error, 75 stopped early (the same command continues), 78 bad model.");

  Command chosen;
  add_run_command(app, chosen);
  add_merge_command(app, chosen);
  add_tokenize_command(app, chosen);
  add_inspect_command(app, chosen);
  add_bench_command(app, chosen);
  add_verify_command(app, chosen);
  for (CLI::App* command : app.get_subcommands({}))
    command->footer("Every flag can also stand in a file given by --config FILE, one a line: max-batch = 64");
  try {
    app.parse(argc, argv);
    if (!app.got_subcommand("run")) unblock_stop_signals();
    return static_cast<int>(chosen());
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "penstock: %s\n", error.what());
    return static_cast<int>(ExitCode::usage);
  } catch (const Error& error) {
    std::fprintf(stderr, "penstock: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "penstock: internal error: %s\n", error.what());
    return static_cast<int>(ExitCode::internal);
  }
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) {
  // A signal that comes before a run can answer it waits. A full disk and a reader that went away are errors of
  // write().
  penstock::block_stop_signals();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  penstock::occupy_standard_descriptors();
  int code = penstock::run(argc, argv);
  // What inspect, bench or --help print may sit in the buffer till now: a full disk must not end in 0.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout)) && code == static_cast<int>(penstock::ExitCode::ok)) {
    std::fputs("penstock: standard output: cannot be written\n", stderr);
    code = static_cast<int>(penstock::ExitCode::io);
  }
  // Without static destructors: a thread may still be loading an engine that is no longer wanted.
  std::fflush(nullptr);
  ::_exit(code);
}
