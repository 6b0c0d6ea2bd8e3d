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

Hash128 run_fingerprint(const ModelFolder& folder, const SafetensorsFolder& weights, const ModelFlags& model,
                        const SamplingFlags& sampling, const EngineConfig& engine, int32_t max_context) {
  Digest digest;
  digest.add("penstock", "2");  // changes when the same request comes to mean something else
  digest.add("config", folder.config).add("generation_config", folder.generation_config);
  digest.add("tokenizer", folder.tokenizer).add("tokenizer_config", folder.tokenizer_config);
  digest.add("template", folder.chat_template_jinja).add("--chat-template", model.chat_template);
  digest.add("special_tokens_map", folder.special_tokens_map).add("tool_use", folder.tool_use_jinja);
  digest.add("chat_template.json", folder.chat_template_json);
  digest.add_number("--literal-special-tokens", model.literal_special_tokens);
  add_weights(digest, weights);
  digest.add("dtype", dtype_name(engine.dtype)).add_number("--deterministic", engine.deterministic);
  digest.add_number("max_context", max_context).add_number("--seed", sampling.seed);
  const RequestDefaults& defaults = sampling.defaults;
  digest.add_optional("--temperature", defaults.temperature).add_optional("--top-p", defaults.top_p);
  digest.add_optional("--top-k", defaults.top_k).add_optional("--max-tokens", defaults.max_tokens);
  return digest.finish();
}

Hash128 line_hash(Hash128 fingerprint, std::string_view kind, std::string_view content) {
  Digest digest;
  return digest.add_number("low", fingerprint.low).add_number("high", fingerprint.high).add(kind, content).finish();
}

}  // namespace penstock
