#include "app/intake.h"

#include "engine/json.h"

namespace penstock {

namespace {

RecordError too_long(const InputLine& line, const ParseLimits& limits) {
  RecordError error;
  error.line = line.number;
  error.id = "line-" + std::to_string(line.number);
  error.code = "line_too_long";
  error.message = "line " + std::to_string(line.number) + ": the line has " + std::to_string(line.bytes) +
                  " bytes; at most " + std::to_string(limits.max_line_bytes) + " are read";
  return error;
}

RecordError duplicate(const std::variant<Request, RecordError>& parsed, const std::string& id, int64_t line,
                      int64_t first_line) {
  RecordError error;
  error.line = line;
  error.id = line_id(line);
  if (const Request* request = std::get_if<Request>(&parsed)) {
    error.kind = request->kind;
    error.batch_line = request->kind == RequestKind::batch_chat || request->kind == RequestKind::batch_completion;
  } else {
    error.kind = std::get<RecordError>(parsed).kind;
    error.batch_line = std::get<RecordError>(parsed).batch_line;
  }
  error.code = "duplicate_id";
  error.message =
      "line " + std::to_string(line) + ": the id " + quote(id) + " has been used in line " + std::to_string(first_line);
  error.param = error.batch_line ? "custom_id" : "id";
  error.duplicate_of = line_id(first_line);
  return error;
}

}  // namespace

std::string line_id(int64_t line) { return "line-" + std::to_string(line); }

const std::string& id_of(const std::variant<Request, RecordError>& parsed) {
  const Request* request = std::get_if<Request>(&parsed);
  return request ? request->id : std::get<RecordError>(parsed).id;
}

std::variant<Request, RecordError> parse_line(const InputLine& line, const ParseLimits& limits) {
  if (line.too_long) return too_long(line, limits);
  return parse_request(line.text, line.number, limits);
}

Intake::Intake(const TextSide& side, RunFingerprint fingerprint, Shard shard, Journal* journal)
    : side_(side), fingerprint_(fingerprint), shard_(shard), journal_(journal) {}

std::variant<NewRequest, RefusedLine, PassedOver> Intake::take(const InputLine& line) {
  std::variant<Request, RecordError> parsed = parse_line(line, side_.limits);
  const std::string& id = id_of(parsed);
  // "line-N" belongs to line N alone: explicit ids of that form are refused, so it needs no entry.
  if (id != line_id(line.number)) {
    const auto [first_line, is_new] = lines_by_id_.insert(hash128(id), line.number);
    if (!is_new) parsed = duplicate(parsed, id, line.number, *first_line);
  }
  if (!shard_.takes(line.number)) return PassedOver::other_shard;

  if (RecordError* error = std::get_if<RecordError>(&parsed)) {
    const Hash128 hash =
        line_hash(fingerprint_, error->code, line.too_long ? std::string_view(error->message) : line.text);
    if (answered(error->id, hash, line.number)) return PassedOver::answered;
    return RefusedLine{std::move(*error), request_id_text(hash)};
  }
  Request& accepted = std::get<Request>(parsed);
  Parameters parameters = resolve(accepted, side_.defaults);
  const Hash128 hash = line_hash(fingerprint_, "request", canonical_request(accepted, parameters));
  if (answered(accepted.id, hash, line.number)) return PassedOver::answered;
  return NewRequest{std::move(accepted), std::move(parameters), request_id_text(hash)};
}

bool Intake::answered(const std::string& id, Hash128 hash, int64_t line) {
  if (!journal_) return false;
  const Journal::Match match = journal_->match(id, hash);
  if (match == Journal::Match::different)
    throw Error(ExitCode::cannot_create, "line " + std::to_string(line) + ": the output answers the id " + quote(id) +
                                             " for " + what_differs(journal_->request_of(id), hash) +
                                             "; name another output, or start empty with --overwrite");
  return match == Journal::Match::answered;
}

}  // namespace penstock
