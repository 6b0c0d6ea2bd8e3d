#include "engine/model/rope_config.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

namespace penstock {
namespace {

using Scaling = RopeConfig::Scaling;
using Names = std::vector<const char*>;

// The fields that a type gives a meaning to, beside those of all types.
struct Type {
  const char* name;
  Scaling scaling;
  Names fields;
};
const Type kTypes[] = {
    {"default", Scaling::none, {}},
    {"linear", Scaling::linear, {"factor"}},
    {"dynamic", Scaling::none, {"factor", "original_max_position_embeddings"}},
    {"llama3", Scaling::llama3, {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
    {"yarn",
     Scaling::yarn,
     {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "mscale",
      "mscale_all_dim", "truncate"}},
    {"longrope",
     Scaling::longrope,
     {"factor", "original_max_position_embeddings", "attention_factor", "short_factor", "long_factor"}},
};
const Names kFieldsOfAll = {"type", "rope_type", "rope_theta", "partial_rotary_factor"};

// Far outside what models have, and far inside what f32 arithmetic can carry.
constexpr double kLeast = 1e-9, kMost = 1e12;

double positive(const JsonFields& fields, const char* name) {
  auto value = fields.number(name);
  if (!value) fields.refuse(name, "is missing");
  if (!(*value > 0)) fields.refuse(name, "is not above 0");
  if (*value < kLeast || *value > kMost) fields.refuse(name, "is not between 1e-9 and 1e12");
  return *value;
}

std::optional<double> read_theta(const JsonFields& fields, const char* name) {
  auto theta = fields.number(name);
  if (theta && !(*theta > 1 && *theta <= kMost)) fields.refuse(name, "is not between 1 and 1e12");
  return theta;
}

std::optional<double> optional_positive(const JsonFields& fields, const char* name) {
  return fields.find(name) ? std::optional(positive(fields, name)) : std::nullopt;
}

const Type& read_type(const JsonFields& fields) {
  std::string name = fields.string("rope_type", "type").value_or("default");
  if (name == "su") name = "longrope";  // Phi-3's first files
  for (const Type& type : kTypes)
    if (name == type.name) return type;
  fields.refuse("rope_type", quote(name) + " is not supported (default, linear, dynamic, llama3, yarn, longrope are)");
}

// A field that the type gives no meaning to would be ignored; it is refused, because its writer meant something by it.
void check_fields(const JsonFields& fields, const Type& type) {
  auto is_in = [](const Names& names, const std::string& name) {
    return std::any_of(names.begin(), names.end(), [&](const char* known) { return name == known; });
  };
  for (const std::string& name : fields.names())
    if (!is_in(kFieldsOfAll, name) && !is_in(type.fields, name))
      fields.refuse(quote(name), "is not supported with rope type " + quote(type.name));
}

// One block of rope fields, with what surrounds it.
class RopeReader {
 public:
  RopeReader(const JsonFields& config, const JsonFields& block, double theta, double rotary_share,
             const ModelConfig& model)
      : config_(config), block_(block), type_(read_type(block)), model_(model) {
    check_fields(block_, type_);
    rope_.scaling = type_.scaling;
    rope_.theta = read_theta(block_, "rope_theta").value_or(theta);
    rope_.rotary_share = optional_positive(block_, "partial_rotary_factor").value_or(rotary_share);
    if (rope_.rotary_share > 1) block_.refuse("partial_rotary_factor", "is above 1");
  }

  RopeConfig read() {
    switch (type_.scaling) {
      case Scaling::none:
        if (block_.find("factor")) factor();  // dynamic: unused within the original length, but no nonsense either
        break;
      case Scaling::linear:
        rope_.factor = factor();
        break;
      case Scaling::llama3:
        read_llama3();
        break;
      case Scaling::yarn:
        read_yarn();
        break;
      case Scaling::longrope:
        read_longrope();
        break;
    }
    if (!(rope_.attention_factor >= kLeast && rope_.attention_factor <= kMost))
      block_.refuse("attention_factor",
                    "comes to " + std::to_string(rope_.attention_factor) + ", not a positive number");
    return rope_;
  }

  // Tokens of a sequence that the table is made for.
  int64_t max_positions() const {
    if (type_.name == std::string("dynamic")) return std::min(model_.max_positions, original());
    if (type_.scaling != Scaling::yarn) return model_.max_positions;
    const double stretched = rope_.factor * static_cast<double>(original());
    if (stretched > 1 << 30) block_.refuse("factor", "makes a context of more than 2^30 tokens");
    return std::max(model_.max_positions, static_cast<int64_t>(stretched));
  }

 private:
  double factor() const {
    double value = positive(block_, "factor");
    if (value < 1) block_.refuse("factor", "is below 1");
    return value;
  }

  // The field beside the block comes first, then the one inside it; else all positions are original ones.
  int64_t original() const {
    constexpr const char* kName = "original_max_position_embeddings";
    for (const JsonFields* fields : {&config_, &block_})
      if (auto value = fields->integer(kName, 1, 1 << 30)) return *value;
    return model_.max_positions;
  }

  void read_llama3() {
    rope_.factor = factor();
    rope_.low_freq_factor = positive(block_, "low_freq_factor");
    rope_.high_freq_factor = positive(block_, "high_freq_factor");
    if (!(static_cast<float>(rope_.high_freq_factor) > static_cast<float>(rope_.low_freq_factor)))
      block_.refuse("high_freq_factor", "is not above low_freq_factor");
    rope_.original_max_positions = original();
  }

  // YaRN (Peng et al. 2023), with transformers' defaults.
  void read_yarn() {
    rope_.original_max_positions = original();
    rope_.factor = block_.find("factor") ? factor() : ratio();
    rope_.beta_fast = optional_positive(block_, "beta_fast").value_or(32);
    rope_.beta_slow = optional_positive(block_, "beta_slow").value_or(1);
    rope_.truncate = block_.boolean("truncate").value_or(true);
    auto temperature = [this](double mscale) {
      return rope_.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(rope_.factor) + 1;
    };
    auto mscale = block_.number("mscale"), all_dim = block_.number("mscale_all_dim");
    bool both = mscale.value_or(0) != 0 && all_dim.value_or(0) != 0;
    double usual = both ? temperature(*mscale) / temperature(*all_dim) : temperature(1);
    rope_.attention_factor = optional_positive(block_, "attention_factor").value_or(usual);
  }

  // LongRoPE (Ding et al. 2024), as Phi-3 has it.
  void read_longrope() {
    rope_.original_max_positions = original();
    rope_.factor = block_.find("factor") ? factor() : ratio();
    double usual = 1;
    if (rope_.factor > 1)
      usual = std::sqrt(1 + std::log(rope_.factor) / std::log(static_cast<double>(rope_.original_max_positions)));
    rope_.attention_factor = optional_positive(block_, "attention_factor").value_or(usual);
    rope_.short_factor = frequency_factors("short_factor");
    rope_.long_factor = frequency_factors("long_factor");
  }

  double ratio() const {
    return static_cast<double>(model_.max_positions) / static_cast<double>(rope_.original_max_positions);
  }

  std::vector<double> frequency_factors(const char* name) const {
    const Json* list = block_.find(name);
    if (!list) block_.refuse(name, "is missing");
    auto wanted = static_cast<size_t>(rotary_dim(rope_, model_.head_dim) / 2);
    if (!list->is_array() || list->size() != wanted)
      block_.refuse(name, "is not a list of " + std::to_string(wanted) + " numbers, half of the rotated dimensions");
    std::vector<double> factors;
    for (const Json& value : *list) {
      if (!value.is_number() || !(value.get<double>() >= kLeast && value.get<double>() <= kMost))
        block_.refuse(name, "holds something else than numbers above 0");
      factors.push_back(value.get<double>());
    }
    return factors;
  }

  const JsonFields& config_;
  const JsonFields& block_;
  const Type& type_;
  const ModelConfig& model_;
  RopeConfig rope_;
};

// rope_parameters of Gemma 3 in transformers 5: a block for each type of layer.
void read_nested(const JsonFields& fields, const JsonFields& blocks, double theta, ModelConfig& config) {
  for (const std::string& name : blocks.names())
    if (name != "full_attention" && name != "sliding_attention")
      blocks.refuse(quote(name), "is not a type of layer that is supported");
  if (!blocks.find("full_attention")) blocks.refuse("full_attention", "is missing");
  auto read = [&](const char* name, double usual_theta) {
    const JsonFields block = blocks.object(name);
    RopeReader reader(fields, block, usual_theta, 1, config);
    RopeConfig rope = reader.read();
    if (reader.max_positions() != config.max_positions)
      block.refuse("rope_type", "changes the length of the context, which is not supported for one type of layer");
    return rope;
  };
  config.rope = read("full_attention", theta);
  if (blocks.find("sliding_attention")) config.local_rope = read("sliding_attention", RopeConfig().theta);
  if (config.rope.rotary_share != config.local_rope.rotary_share)
    blocks.refuse("partial_rotary_factor", "differs between the types of layers");
}

bool has_local_layers(const ModelConfig& config) {
  return std::any_of(config.layer.begin(), config.layer.end(),
                     [](const LayerConfig& layer) { return layer.rope == LayerConfig::Rope::local; });
}

}  // namespace

void read_rope(const JsonFields& fields, double theta, ModelConfig& config) {
  const auto outer_theta = read_theta(fields, "rope_theta");
  const double rotary_share = optional_positive(fields, "partial_rotary_factor").value_or(1);
  if (rotary_share > 1) fields.refuse("partial_rotary_factor", "is above 1");
  config.rope.theta = outer_theta.value_or(theta);
  config.rope.rotary_share = rotary_share;
  config.local_rope.theta = read_theta(fields, "rope_local_base_freq").value_or(RopeConfig().theta);

  bool has_block = false;
  int64_t max_positions = config.max_positions;
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    if (!fields.find(name)) continue;
    const JsonFields block = fields.object(name);
    if (has_local_layers(config) && (block.find("full_attention") || block.find("sliding_attention"))) {
      read_nested(fields, block, config.rope.theta, config);
      has_block = true;
      continue;
    }
    auto inner_theta = read_theta(block, "rope_theta");
    if (outer_theta && inner_theta && *outer_theta != *inner_theta)
      fields.refuse(name, "its rope_theta differs from the other rope_theta");
    RopeReader reader(fields, block, config.rope.theta, rotary_share, config);
    RopeConfig rope = reader.read();
    if (has_block && rope != config.rope) fields.refuse(name, "differs from rope_parameters");
    config.rope = rope;
    max_positions = reader.max_positions();
    has_block = true;
  }
  config.max_positions = max_positions;
  if (rotary_dim(config.rope, config.head_dim) < 2)
    fields.refuse("partial_rotary_factor", "leaves nothing of a head to rotate");
  const bool has_longrope = config.rope.scaling == Scaling::longrope || config.local_rope.scaling == Scaling::longrope;
  if (has_local_layers(config) && has_longrope)
    fields.refuse("rope_scaling", "longrope is not supported with layers that have a RoPE of their own");
}

int64_t rotary_dim(const RopeConfig& rope, int64_t head_dim) {
  return static_cast<int64_t>(rope.rotary_share * static_cast<double>(head_dim)) / 2 * 2;
}

}  // namespace penstock
