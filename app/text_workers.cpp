#include "app/text_workers.h"

#include <utility>

namespace penstock {

TextWorkers::TextWorkers(int threads, const TextSide& side, StageTimes& times, const WakeUp& wake, bool timings)
    : side_(side), times_(times), wake_(wake), timings_(timings), pool_(threads) {}

void TextWorkers::prepare(uint64_t key, Request request, Parameters parameters, std::string request_id) {
  // std::function copies, requests are large: the job shares them.
  auto shared = std::make_shared<Request>(std::move(request));
  pool_.submit([this, key, shared, parameters = std::move(parameters), request_id = std::move(request_id)] {
    PreparedItem item{key, {}};
    {
      const StageTimer timer(times_, Stage::tokenize);
      auto result = prepare_record(std::move(*shared), parameters, side_);
      if (auto* prepared = std::get_if<PreparedRequest>(&result)) {
        prepared->request_id = request_id;
        item.result = std::make_unique<PreparedRequest>(std::move(*prepared));
      } else {
        item.result = RefusedLine{std::get<RecordError>(std::move(result)), request_id};
      }
    }
    const std::lock_guard lock(mutex_);
    prepared_.push_back(std::move(item));
    wake_.notify();
  });
}

void TextWorkers::complete(uint64_t key, const PreparedRequest& prepared, const std::vector<SequenceOutput>& outputs) {
  const auto job = [this, key, &prepared, &outputs] {
    RecordItem item{key, {}};
    {
      const StageTimer timer(times_, Stage::detokenize);
      item.record = complete_record(prepared, outputs, side_, timings_);
    }
    const std::lock_guard lock(mutex_);
    records_.push_back(std::move(item));
    wake_.notify();
  };
  pool_.submit(job, /*urgent=*/true);
}

std::vector<PreparedItem> TextWorkers::take_prepared() {
  const std::lock_guard lock(mutex_);
  return std::exchange(prepared_, {});
}

std::vector<RecordItem> TextWorkers::take_records() {
  const std::lock_guard lock(mutex_);
  return std::exchange(records_, {});
}

}  // namespace penstock
