#include "app/fingerprint.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

namespace penstock {

namespace {

// Hashes a list of named parts; lengths go in as well, so that no two lists run together to the same bytes.
class Digest {
 public:
  Digest() : state_(XXH3_createState(), XXH3_freeState) { XXH3_128bits_reset(state_.get()); }

  Digest& add(std::string_view name, std::string_view content) {
    for (const std::string_view part : {name, content}) {
      const uint64_t size = part.size();
      XXH3_128bits_update(state_.get(), &size, sizeof size);
      XXH3_128bits_update(state_.get(), part.data(), part.size());
    }
    return *this;
  }
  template <class Number>
  Digest& add_number(std::string_view name, Number value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    return add(name, std::string_view(bytes, sizeof bytes));
  }
  template <class Number>
  Digest& add_optional(std::string_view name, const std::optional<Number>& value) {
    return value ? add_number(name, *value) : add(name, {});
  }
  Hash128 finish() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return {hash.low64, hash.high64};
  }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

// Weights that were trained further under the same names and shapes differ everywhere, so a sample finds them.
void add_weights(Digest& digest, const SafetensorsFolder& weights) {
  constexpr uint64_t kSampleBytes = 4096;
  for (const auto& file : weights.files()) digest.add("header", file.header).add_number("bytes", file.bytes);
  std::vector<char> sample(kSampleBytes);
  for (const TensorInfo& tensor : weights.tensors()) {
    const uint64_t size = std::min(kSampleBytes, tensor.bytes);
    weights.read(tensor, 0, size, sample.data());
    digest.add(tensor.name, std::string_view(sample.data(), size)).add_number("bytes", tensor.bytes);
  }
}

}  // namespace

RunFingerprint run_fingerprint(const ModelFolder& folder, const SafetensorsFolder& weights, const ModelFlags& model,
                               const SamplingFlags& sampling, const EngineConfig& engine, int32_t max_context) {
  Digest files;
  files.add("penstock", "3");  // changes when the same request comes to mean something else
  files.add("config", folder.config).add("generation_config", folder.generation_config);
  files.add("tokenizer", folder.tokenizer).add("tokenizer_config", folder.tokenizer_config);
  files.add("template", folder.chat_template_jinja).add("tool_use", folder.tool_use_jinja);
  files.add("special_tokens_map", folder.special_tokens_map).add("chat_template.json", folder.chat_template_json);
  add_weights(files, weights);

  Digest settings;
  settings.add("--chat-template", model.chat_template);
  settings.add_number("--literal-special-tokens", model.literal_special_tokens);
  settings.add("dtype", dtype_name(engine.dtype)).add_number("--deterministic", engine.deterministic);
  settings.add_number("max_context", max_context).add_number("--seed", sampling.seed);
  const RequestDefaults& defaults = sampling.defaults;
  settings.add_optional("--temperature", defaults.temperature).add_optional("--top-p", defaults.top_p);
  settings.add_optional("--top-k", defaults.top_k).add_optional("--max-tokens", defaults.max_tokens);
  return {static_cast<uint32_t>(files.finish().low), static_cast<uint32_t>(settings.finish().low)};
}

Hash128 line_hash(RunFingerprint fingerprint, std::string_view kind, std::string_view content) {
  const uint64_t run = uint64_t{fingerprint.model} << 32 | fingerprint.settings;
  Digest digest;
  return {digest.add_number("run", run).add(kind, content).finish().low, run};
}

const char* what_differs(Hash128 then, Hash128 now) {
  if (then.high >> 32 != now.high >> 32) return "another model";
  if (then.high != now.high)
    return "other settings (--dtype, --seed, --temperature, --top-p, --top-k, --max-tokens, --max-context, "
           "--chat-template, --literal-special-tokens or --deterministic)";
  return "another request";
}

}  // namespace penstock
