// What a run counts about its lines. Written by the main thread alone.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "app/histogram.h"
#include "engine/schedule/sequence.h"

namespace penstock {

struct RunStats {
  int64_t lines = 0;  // of the input that are not blank
  int64_t other_shards = 0;
  int64_t already_answered = 0;                      // by an earlier run
  int64_t earlier_errors = 0;                        // of those, error records
  int64_t answered = 0;                              // by this run
  int64_t errors = 0;                                // error records of this run
  int64_t written = 0;                               // of both: with --ordered some wait for their turn
  int64_t prompt_tokens = 0, completion_tokens = 0;  // of answered requests
  std::map<std::string, int64_t> error_codes;        // of those error records
  double first_record_seconds = 0;                   // from the start of the process to the first record; 0: none yet
  Histogram queue, first_token, per_output_token;    // of sequences

  int64_t handled() const { return already_answered + answered + errors; }

  void add(const SequenceOutput& output) {
    queue.add(output.queue_seconds);
    if (output.tokens.empty()) return;
    first_token.add(output.first_token_seconds);
    const auto later_tokens = static_cast<double>(output.tokens.size() - 1);
    if (later_tokens > 0) per_output_token.add((output.total_seconds - output.first_token_seconds) / later_tokens);
  }
};

}  // namespace penstock
