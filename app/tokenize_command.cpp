// `penstock tokenize`: rendered prompts and their ids, without the weights.
#include <memory>

#include "app/commands.h"
#include "app/file_identity.h"
#include "app/input_file.h"
#include "app/input_reader.h"
#include "app/intake.h"
#include "app/output_file.h"
#include "app/text_side.h"
#include "engine/json.h"

namespace penstock {

namespace {

struct Options {
  ModelFlags model;
  SamplingFlags sampling;
  int32_t max_context = 0;
  std::string input = "-", output = "-";
};

std::string dump(const OrderedJson& record) {
  return record.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

// One prompt gives "prompt" and "prompt_token_ids"; several (a completion's list, a scoring line's continuations) give
// "prompts", an array of such objects. "prompt" is null where the line has ids.
std::string format_tokens(const PreparedRequest& prepared) {
  const Request& request = prepared.request;
  const auto text_of = [&](size_t index) -> OrderedJson {
    const bool is_one_text = request.prompts.empty();
    if (is_one_text) return prepared.prompts.size() == 1 ? OrderedJson(prepared.prompt_text) : OrderedJson();
    const auto& text = request.prompts[index].text;
    return text ? OrderedJson(*text) : OrderedJson();
  };
  OrderedJson record = {{"id", request.id}};
  if (prepared.prompts.size() == 1) {
    record["prompt"] = text_of(0);
    record["prompt_token_ids"] = prepared.prompts[0];
    return dump(record);
  }
  record["prompts"] = OrderedJson::array();
  for (size_t i = 0; i < prepared.prompts.size(); ++i)
    record["prompts"].push_back({{"prompt", text_of(i)}, {"prompt_token_ids", prepared.prompts[i]}});
  return dump(record);
}

std::variant<PreparedRequest, RecordError> tokenize(const InputLine& line, Intake& intake, const TextSide& side) {
  auto taken = intake.take(line);
  if (auto* refused = std::get_if<RefusedLine>(&taken)) return std::move(refused->error);
  NewRequest& request = std::get<NewRequest>(taken);
  return prepare_record(std::move(request.request), request.parameters, side);
}

ExitCode run(const Options& options) {
  InputFile input(options.input);
  const ModelFolder folder = read_model_folder(options.model.model);
  const ModelConfig config = parse_model_config(folder.config, folder.generation_config, folder.path);
  const TextSide side(folder, config, options.model, options.sampling,
                      options.max_context ? options.max_context : static_cast<int32_t>(config.max_positions));
  std::vector<NamedFile> read{{"--input", identify(input.descriptor())}};
  for (const char* name : kModelFileNames)
    read.push_back({std::string("the model's ") + name, identify(folder.path + "/" + name)});
  if (options.output != "-") expect_different_files({{"--output", identify(options.output)}}, read);
  OutputFile output(options.output);
  expect_different_files({{"--output", identify(output.descriptor())}}, read);
  if (output.is_journal()) output.truncate(0);

  InputReader reader(input, static_cast<uint64_t>(side.limits.max_line_bytes));
  Intake intake(side, RunFingerprint(), Shard(), nullptr);  // request ids need the weights: there are none here
  bool failed = false;
  do {
    while (const auto line = reader.next()) {
      const auto result = tokenize(*line, intake, side);
      const auto* error = std::get_if<RecordError>(&result);
      failed |= error != nullptr;
      // There is no answer yet whose hash an error record could name.
      output.append(error ? format_error(*error, "") : format_tokens(std::get<PreparedRequest>(result)));
    }
  } while (reader.fill() || !reader.drained());
  output.sync();
  output.close();
  return failed ? ExitCode::some_records_failed : ExitCode::ok;
}

}  // namespace

void add_tokenize_command(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "print the rendered prompts and their token ids");
  add_flags(*command, options->model);
  add_flags(*command, options->sampling);
  command->add_option("-i,--input", options->input, "JSONL requests; -: standard input")
      ->capture_default_str()
      ->type_name("FILE");
  command->add_option("-o,--output", options->output, "written anew; -: standard output")
      ->capture_default_str()
      ->type_name("FILE");
  command
      ->add_option("--max-context", options->max_context,
                   "tokens a sequence may have, even more than the model takes; 0: the model's own maximum")
      ->capture_default_str()
      ->check(between(0, 1 << 30))
      ->type_name("N");
  command->final_callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace penstock
