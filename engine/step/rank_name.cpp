#include "engine/step/rank_name.h"

namespace penstock {

std::string rank_name(const EngineConfig& config, int32_t replica, int32_t rank) {
  const auto place = [](const char* what, int32_t index, int32_t count) {
    return count == 1 ? "" : std::string(what) + " " + std::to_string(index) + " of " + std::to_string(count);
  };
  const std::string group = place("replica", replica, config.replicas);
  const std::string member = place("rank", rank, config.tensor_parallel);
  const std::string where = group + (group.empty() || member.empty() ? "" : ", ") + member;
  const std::string device =
      config.device == DeviceKind::cpu ? "the CPU" : "GPU " + std::to_string(config.device_of(replica, rank));
  return device + (where.empty() ? "" : " (" + where + ")");
}

std::exception_ptr named(std::exception_ptr error, const std::string& name) {
  try {
    std::rethrow_exception(error);
  } catch (const DeviceFault& e) {
    return std::make_exception_ptr(DeviceFault(e.code(), name + ": " + e.what()));
  } catch (const Error& e) {
    return std::make_exception_ptr(Error(e.code(), name + ": " + e.what()));
  } catch (const std::exception& e) {
    return std::make_exception_ptr(Error(ExitCode::internal, name + ": internal error: " + e.what()));
  }
}

}  // namespace penstock
