#include "engine/model/rope_config.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace penstock {
namespace {

constexpr std::array<const char*, 3> kFieldsOfAll = {"type", "rope_type", "rope_theta"};
constexpr std::array<const char*, 4> kFieldsOfLlama3 = {"factor", "low_freq_factor", "high_freq_factor",
                                                        "original_max_position_embeddings"};

struct Block {
  std::optional<double> theta;
  RopeConfig rope;  // without theta
};

double positive(const JsonFields& fields, const char* name) {
  auto value = fields.number(name);
  if (!value) fields.refuse(name, "is missing");
  if (!(*value > 0)) fields.refuse(name, "is not above 0");
  return *value;
}

std::optional<double> read_theta(const JsonFields& fields) {
  if (!fields.find("rope_theta")) return std::nullopt;
  return positive(fields, "rope_theta");
}

// A field that the type gives no meaning to would be ignored; it is refused, because its writer meant something by it.
void check_fields(const JsonFields& fields, const std::string& type) {
  auto is_in = [](const auto& table, const std::string& name) {
    return std::any_of(table.begin(), table.end(), [&](const char* known) { return name == known; });
  };
  for (const std::string& name : fields.names()) {
    if (is_in(kFieldsOfAll, name) || (type == "llama3" && is_in(kFieldsOfLlama3, name))) continue;
    if (name == "partial_rotary_factor" && fields.number(name.c_str()) == 1.0) continue;
    fields.refuse(quote(name), "is not supported with rope type " + quote(type));
  }
}

Block parse_block(const JsonFields& fields) {
  Block block;
  block.theta = read_theta(fields);
  std::string type = fields.string("rope_type", "type").value_or("default");
  if (type != "default" && type != "llama3")
    fields.refuse("rope_type", quote(type) + " is not supported (default and llama3 are)");
  check_fields(fields, type);
  if (type == "default") return block;

  RopeConfig& rope = block.rope;
  rope.scaling = RopeConfig::Scaling::llama3;
  rope.factor = positive(fields, "factor");
  if (rope.factor < 1) fields.refuse("factor", "is below 1");
  rope.low_freq_factor = positive(fields, "low_freq_factor");
  rope.high_freq_factor = positive(fields, "high_freq_factor");
  if (!(rope.high_freq_factor > rope.low_freq_factor))
    fields.refuse("high_freq_factor", "is not above low_freq_factor");
  rope.original_max_positions = fields.required_integer("original_max_position_embeddings", 1, 1 << 30);
  return block;
}

bool same_scaling(const RopeConfig& a, const RopeConfig& b) {
  return a.scaling == b.scaling && a.factor == b.factor && a.low_freq_factor == b.low_freq_factor &&
         a.high_freq_factor == b.high_freq_factor && a.original_max_positions == b.original_max_positions;
}

}  // namespace

RopeConfig parse_rope_config(const JsonFields& config) {
  RopeConfig rope;
  std::optional<double> theta = read_theta(config);
  bool has_block = false;
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    if (!config.find(name)) continue;
    Block block = parse_block(config.object(name));
    if (theta && block.theta && *theta != *block.theta)
      config.refuse(name, "its rope_theta differs from the other rope_theta");
    if (!theta) theta = block.theta;
    if (has_block && !same_scaling(rope, block.rope)) config.refuse(name, "differs from rope_parameters");
    rope = block.rope;
    has_block = true;
  }
  rope.theta = theta.value_or(RopeConfig().theta);
  return rope;
}

}  // namespace penstock
