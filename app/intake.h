// Line by line: is it a request, is it this shard's, has its id been used, has it been answered before?
#pragma once
#include <cstdint>
#include <variant>

#include "app/fingerprint.h"
#include "app/id_table.h"
#include "app/input_reader.h"
#include "app/journal.h"
#include "app/text_side.h"

namespace penstock {

struct NewRequest {
  Request request;
  Parameters parameters;  // resolved
  std::string request_id;
};
enum class PassedOver { other_shard, answered };

// The line as a request, or why it is none.
std::variant<Request, RecordError> parse_line(const InputLine& line, const ParseLimits& limits);

// "line-N": the id of a line's record when the line has none, or one that an earlier line has used.
std::string line_id(int64_t line);
const std::string& id_of(const std::variant<Request, RecordError>& parsed);

class Intake {
 public:
  // `journal` may be null. References must outlive the intake.
  Intake(const TextSide& side, RunFingerprint fingerprint, Shard shard, Journal* journal);

  uint64_t max_line_bytes() const { return static_cast<uint64_t>(side_.limits.max_line_bytes); }

  // Errors: Error(cannot_create) when the journal answers this id for another request.
  std::variant<NewRequest, RefusedLine, PassedOver> take(const InputLine& line);

 private:
  bool answered(const std::string& id, Hash128 hash, int64_t line);

  const TextSide& side_;
  RunFingerprint fingerprint_;
  Shard shard_;
  Journal* journal_;
  IdTable<int64_t> lines_by_id_;
};

}  // namespace penstock
