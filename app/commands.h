// The subcommands. Each adds itself to the command line and, when chosen, gives what main() then runs.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>

#include "kernels/error.h"

namespace penstock {

// Errors of the returned function: Error with the exit code of design.md §7.
using Command = std::function<ExitCode()>;

void add_run_command(CLI::App& app, Command& chosen);
void add_merge_command(CLI::App& app, Command& chosen);
void add_tokenize_command(CLI::App& app, Command& chosen);
void add_inspect_command(CLI::App& app, Command& chosen);
void add_bench_command(CLI::App& app, Command& chosen);
void add_verify_command(CLI::App& app, Command& chosen);

}  // namespace penstock
