#include "app/report_replicas.h"

#include "app/report_work.h"

namespace penstock {

OrderedJson report_replicas(const Fleet& fleet) {
  const EngineConfig& config = fleet.config();
  const std::vector<EngineStats> all = fleet.replica_stats();
  const std::vector<int64_t> blocks = fleet.replica_blocks();
  OrderedJson list = OrderedJson::array();
  for (size_t r = 0; r < all.size(); ++r) {
    OrderedJson one = {{"replica", r}};
    if (config.device == DeviceKind::cuda)
      for (int rank = 0; rank < config.tensor_parallel; ++rank)
        one["devices"].push_back(config.device_of(static_cast<int32_t>(r), rank));
    const EngineStats& stats = all[r];
    one.update(report_idle(stats));
    one.update({{"steps", stats.scheduler.steps},
                {"prefill_tokens", stats.prefill_tokens},
                {"decode_tokens", stats.decode_tokens},
                {"blocks", blocks[r]},
                {"peak_used_blocks", stats.scheduler.peak_used_blocks},
                {"prompt_tokens", stats.scheduler.prompt_tokens},
                {"prefix_hit_tokens", stats.scheduler.cached_tokens},
                {"preemptions", stats.scheduler.preemptions}});
    list.push_back(std::move(one));
  }
  return list;
}

std::string format_layout(const Fleet& fleet) {
  const EngineConfig& config = fleet.config();
  if (config.device == DeviceKind::cpu || config.num_ranks() == 1) return "";
  std::string names;
  for (int device : config.devices) names += (names.empty() ? "" : ", ") + std::to_string(device);
  const auto count = [](int number, const char* what) {
    return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
  };
  return "penstock: GPUs " + names + ": " + count(config.replicas, "replica") + " of " +
         count(config.tensor_parallel, "rank") + " (" + fleet.layout().why + ")\n";
}

}  // namespace penstock
