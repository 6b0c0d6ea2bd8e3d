// The angles of rotary position embedding (Su et al. 2021), computed once on the host.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/model/model_config.h"

namespace penstock {

// A model's tables lie one after the other; an entry is a row of `width` floats. Only what a model needs is there.
//   short: positions that are rotated with the usual factors, from entry 0
//   long:  LongRoPE's second set of factors, for sequences that grow beyond the original length
//   local: of layers with LayerConfig::Rope::local
struct RopeLayout {
  RopeLayout(const ModelConfig& model, int64_t max_context);

  int64_t width = 0;         // rotary_dim: cosines of half of it, then sines
  int64_t entries = 0;       // of all tables
  int64_t long_from = 0;     // sequences with more tokens than this take the long table; 0: there is none
  int64_t long_begin = 0;    // entry
  int64_t local_begin = -1;  // entry; -1: there is none
  int64_t bytes() const { return entries * width * 4; }
};

// [entries, width]. Rounds where Hugging Face does: inverse frequencies, angles, cosines and sines are each f32.
// llama3 as in Llama 3.1's release, yarn as in Peng et al. 2023, longrope as in Ding et al. 2024.
std::vector<float> rope_tables(const ModelConfig& model, int64_t max_context);

}  // namespace penstock
