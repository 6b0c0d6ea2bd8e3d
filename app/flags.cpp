#include "app/flags.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "app/cpu_limit.h"
#include "app/slurm.h"
#include "kernels/error.h"

namespace penstock {

namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.10g", value);
  return text;
}

// A flag whose words stand for the values of an enum or a boolean. The words are checked and shown in --help.
template <class Value>
CLI::Option* add_choice(CLI::App& command, const std::string& name, Value& target,
                        const std::vector<std::pair<std::string, Value>>& choices, const std::string& help,
                        const std::string& shown_default) {
  std::vector<std::string> words;
  for (const auto& [word, value] : choices) words.push_back(word);
  const auto set = [&target, choices](const std::string& text) {
    for (const auto& [word, value] : choices)
      if (word == text) target = value;
  };
  return command.add_option_function<std::string>(name, set, help)
      ->check(CLI::IsMember(words))
      ->type_name("WORD")
      ->default_str(shown_default);
}

CLI::Option* add_switch(CLI::App& command, const std::string& name, bool& target, const std::string& help) {
  return add_choice<bool>(command, name, target, {{"on", true}, {"off", false}}, help, target ? "on" : "off");
}

// A number, or the word auto, which leaves `target` empty.
void add_auto(CLI::App& command, const std::string& name, std::optional<int32_t>& target, double low, double high,
              const std::string& help) {
  const CLI::Validator number = between(low, high);
  const auto check = [number](std::string& text) -> std::string {
    if (text == "auto") return "";
    return text.find_first_not_of("0123456789") == std::string::npos ? number(text) : text + " is no whole number";
  };
  const auto set = [&target](const std::string& text) {
    target.reset();
    if (text != "auto") target = static_cast<int32_t>(std::strtod(text.c_str(), nullptr));
  };
  command.add_option_function<std::string>(name, set, help)
      ->check(CLI::Validator(check, number.get_description() + " or auto"))
      ->type_name("N")
      ->default_str("auto");
}

std::string read_template_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || text.str().empty()) throw Error(ExitCode::not_found, "--chat-template: " + path + " cannot be read");
  return text.str();
}

// The parser itself takes -1 for 2^64 - 1.
CLI::Validator is_unsigned() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
        errno = 0;
        if (digits) std::strtoull(text.c_str(), nullptr, 10);
        return digits && errno == 0 ? "" : "must be 0 to 2^64 - 1, not " + text;
      },
      "");
}

Shard parse_shard(const std::string& text) {
  if (text == "auto") return array_task_shard(std::getenv);
  long long index = -1, count = 0;
  int used = 0;
  if (std::sscanf(text.c_str(), "%lld/%lld%n", &index, &count, &used) != 2 || used != static_cast<int>(text.size()) ||
      index < 0 || count < 1 || index >= count)
    throw CLI::ValidationError("--shard", "must be i/n with 0 <= i < n, or auto, not " + text);
  return {index, count};
}

}  // namespace

CLI::Validator between(double low, double high) {
  const std::string range = number(low) + " to " + number(high);
  return CLI::Validator(
      [low, high, range](std::string& text) -> std::string {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (!text.empty() && *end == '\0' && value >= low && value <= high) return "";
        return "must be " + range + ", not " + text;
      },
      range);
}

void add_flags(CLI::App& command, ModelFlags& flags) {
  command.add_option("MODEL", flags.model, "a Hugging Face model folder")->required();
  command
      .add_option_function<std::string>(
          "--chat-template", [&flags](const std::string& path) { flags.chat_template = read_template_file(path); },
          "a Jinja file in place of the folder's chat template")
      ->type_name("FILE");
  command.add_flag("--literal-special-tokens", flags.literal_special_tokens,
                   "special tokens' text in a request is plain text");
}

void add_flags(CLI::App& command, EngineFlags& flags) {
  EngineConfig& config = flags.config;
  config.threads = usable_cpus();
  add_choice<std::optional<DeviceKind>>(command, "--device", flags.device,
                                        {{"auto", std::nullopt}, {"cpu", DeviceKind::cpu}, {"cuda", DeviceKind::cuda}},
                                        "where the model runs; auto: on a GPU where there is one", "auto");
  add_choice<std::optional<DType>>(command, "--dtype", flags.dtype,
                                   {{"auto", std::nullopt}, {"f32", DType::f32}, {"bf16", DType::bf16}},
                                   "of the arithmetic; auto: f32 on the CPU, bf16 on CUDA", "auto");
  const auto add = [&command](const std::string& name, auto& target, double low, double high, const std::string& help) {
    command.add_option(name, target, help)->capture_default_str()->check(between(low, high))->type_name("N");
  };
  add("--threads", config.threads, 1, 4096, "CPU threads of all ranks together");
  add_auto(command, "--tensor-parallel", flags.tensor_parallel, 1, 64,
           "ranks that share each layer; auto: 1 on the CPU, on CUDA as few as the model fits");
  add_auto(command, "--replicas", flags.replicas, 1, 64,
           "copies of the model that answer side by side; auto: 1 on the CPU, on CUDA as many as there are GPUs for");
  command.add_option("--devices", flags.devices, "GPUs to use, from 0, replica by replica; else all: 0,1,2,3")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber)
      ->type_name("N,N…");
  command.add_flag("--allow-slow-tensor-parallel", config.allow_slow_tensor_parallel,
                   "across GPUs that are not connected by NVLink, too");
  add_auto(command, "--max-batch", flags.max_batch, 1, 65536,
           "sequences that run at the same time; auto: 64 on the CPU, 1024 on CUDA, or fewer where memory is short");
  add_auto(command, "--max-step-tokens", flags.max_step_tokens, 1, 1 << 20,
           "new tokens in one step; auto: 512 on the CPU, 8192 on CUDA, or fewer where memory is short");
  add("--max-context", config.max_context, 0, 1 << 30, "tokens a sequence may have; 0: the model's own maximum");
  add("--kv-blocks", config.kv_blocks, 0, 1 << 30, "blocks of the KV cache; 0: what the memory allows");
  command.add_option("--block-size", config.block_size, "tokens a KV block: 16, 32, 64 or 128")
      ->capture_default_str()
      ->check(CLI::IsMember({16, 32, 64, 128}))
      ->type_name("N");
  add("--gpu-memory-fraction", config.gpu_memory_fraction, 0.01, 1, "of a GPU's memory that may be used");
  add("--steps-in-flight", config.steps_in_flight, 1, 16, "steps that are planned ahead of their results");
  add_switch(command, "--prefix-cache", config.prefix_cache, "share the KV blocks of equal prompt beginnings");
  add_switch(command, "--graphs", config.graphs, "replay recorded steps");
  add_choice<KernelChoice>(command, "--kernels", config.kernels,
                           {{"auto", KernelChoice::automatic}, {"generic", KernelChoice::generic}},
                           "on CUDA; generic: only those that every GPU from sm_80 on can run", "auto");
  command.add_option("--overlap-from", config.overlap_from, "for measuring: tokens of a step computed in two halves")
      ->check(between(0, 1 << 30))
      ->group("");
  command.add_flag("--deterministic", config.deterministic,
                   "the same answers whatever the batch, which f32 on the CPU gives anyway; refused on a GPU");
}

void add_profile_flag(CLI::App& command, EngineFlags& flags) {
  add_choice<bool>(command, "--profile", flags.config.profile_ops, {{"off", false}, {"ops", true}},
                   "ops: time the ops of some steps on the device, for the report and the summary", "off");
}

void add_speculation_flags(CLI::App& command, EngineFlags& flags, const std::string& names) {
  add_choice<std::optional<Speculation>>(command, "--speculate", flags.speculation,
                                         {{"off", Speculation::off},
                                          {"ngram", Speculation::ngram},
                                          {"draft", Speculation::draft},
                                          {"auto", Speculation::automatic}},
                                         "draft several tokens a step, which the model then verifies; the answers stay "
                                         "the same. ngram: from what was read and written before; draft: by "
                                         "--draft-model; auto: whichever gains more",
                                         "off");
  command.add_option(names, flags.draft_model, "a small model's folder, of the same tokenizer")->type_name("DIR");
  command
      .add_option("--drafts", flags.config.fixed_drafts,
                  "of each sequence in every step, where there are so many; -1: as many as are expected to gain most")
      ->capture_default_str()
      ->check(between(-1, kMaxDrafts))
      ->type_name("N");
}

void add_flags(CLI::App& command, SamplingFlags& flags) {
  RequestDefaults& defaults = flags.defaults;
  const std::string note = ", for requests that do not say; else generation_config.json's, else OpenAI's default";
  const auto add = [&](const std::string& name, auto& target, double low, double high, const std::string& help) {
    command.add_option(name, target, help + note)->check(between(low, high))->type_name("N");
  };
  add("--temperature", defaults.temperature, 0, 100, "sampling temperature");
  add("--top-p", defaults.top_p, 0, 1, "nucleus sampling's probability mass");
  add("--top-k", defaults.top_k, 0, 1 << 30, "most likely tokens to draw from, 0: all");
  add("--max-tokens", defaults.max_tokens, 1, 1 << 30, "new tokens at most");
  command.add_option("--seed", flags.seed, "of requests without one, together with their ids")
      ->capture_default_str()
      ->check(is_unsigned())
      ->type_name("N");
}

void add_flags(CLI::App& command, RunFlags& flags) {
  command.add_option("-i,--input", flags.input, "JSONL requests; -: standard input")
      ->capture_default_str()
      ->type_name("FILE");
  command.add_option("-o,--output", flags.output, "JSONL answers, continued if it exists; -: standard output")
      ->capture_default_str()
      ->type_name("FILE");
  command.add_option("--errors", flags.errors, "error records go here instead of the output")->type_name("FILE");
  command.add_flag("--overwrite", flags.overwrite, "start with an empty output");
  command.add_flag("--ordered", flags.ordered, "answers in the order of the input");
  command.add_flag("--retry-errors", flags.retry_errors, "requests that got an error record before are tried again");
  command.add_flag("--timings", flags.timings, "add times and cached_tokens to the answers");
  command
      .add_option_function<std::string>(
          "--shard", [&flags](const std::string& text) { flags.shard = parse_shard(text); },
          "i/n: only the lines N with (N - 1) mod n = i; auto: this task of a Slurm job array")
      ->type_name("i/n|auto");
  command
      .add_option("--grace", flags.grace_seconds,
                  "seconds that a first SIGTERM, SIGINT, SIGHUP or SIGUSR1 leaves to finish what runs")
      ->capture_default_str()
      ->check(between(0, 1e6))
      ->type_name("N");
  command
      .add_option(
          "--deadline", flags.deadline,
          "when the run must be over (exit 75 if it is not done): 90 (seconds from the start), 45s, 2h30m, or "
          "@ and a Unix time. It stops beginning requests as long before as they take. SLURM_JOB_END_TIME counts "
          "too, the earlier one; none: neither")
      ->type_name("TIME");
}

void add_flags(CLI::App& command, ReportFiles& files) {
  command.add_option("--report", files.json, "write a JSON report")->type_name("FILE");
  command.add_option("--report-html", files.html, "write the report as a page with plots")->type_name("FILE");
}

void add_flags(CLI::App& command, ReportFlags& flags) {
  add_flags(command, flags.files);
  add_choice<ProgressMode>(command, "--progress", flags.progress,
                           {{"auto", ProgressMode::automatic},
                            {"bar", ProgressMode::bar},
                            {"log", ProgressMode::log},
                            {"none", ProgressMode::none}},
                           "on standard error; auto: a bar on a terminal, else a line every 10 seconds", "auto");
}

}  // namespace penstock
