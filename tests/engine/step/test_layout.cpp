#include "engine/step/layout.h"

#include "tests/support/catch.h"

namespace penstock {
namespace {

EngineConfig divided(int devices, std::optional<int32_t> tensor_parallel, std::optional<int32_t> replicas) {
  EngineConfig config{.device = DeviceKind::cuda};
  config.devices.resize(static_cast<size_t>(devices));
  divide_devices(config, tensor_parallel, replicas);
  return config;
}

bool is(const EngineConfig& config, int32_t tensor_parallel, int32_t replicas) {
  return config.tensor_parallel == tensor_parallel && config.replicas == replicas;
}

TEST_CASE("the flags and the GPUs together say how they are divided") {
  CHECK(is(divided(1, {}, {}), 1, 1));
  CHECK(is(divided(0, {}, {}), 1, 1));  // make_backend says that there is none
  CHECK(is(divided(8, {}, {}), 0, 0));  // the model decides
  CHECK(is(divided(8, 2, {}), 2, 4));
  CHECK(is(divided(8, {}, 2), 4, 2));
  CHECK(is(divided(8, 4, 2), 4, 2));
  EngineConfig cpu;
  divide_devices(cpu, {}, {});
  CHECK(is(cpu, 1, 1));
  divide_devices(cpu, 2, 3);
  CHECK(is(cpu, 2, 3));
}

TEST_CASE("numbers that do not match the GPUs are refused with how many there are") {
  using Wish = std::optional<int32_t>;
  for (const auto& [devices, ranks, replicas] : std::vector<std::tuple<int, Wish, Wish>>{
           {1, 2, {}}, {1, {}, 2}, {8, 3, {}}, {8, {}, 3}, {8, 16, {}}, {8, 2, 2}, {8, 1, 1}, {4, {}, 8}}) {
    try {
      divided(devices, ranks, replicas);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::usage);
      CHECK(std::string(error.what()).find(devices == 1 ? "there is 1" : "there are " + std::to_string(devices)) !=
            std::string::npos);
    }
  }
}

TEST_CASE("the fewest ranks that fit and divide the GPUs make the replicas") {
  const auto fits_from = [](int32_t least) {
    return [least](int32_t ranks) -> std::optional<std::string> {
      if (ranks >= least) return std::nullopt;
      return "no room on " + std::to_string(ranks);
    };
  };
  Layout layout = smallest_layout(8, fits_from(1));
  CHECK((layout.tensor_parallel == 1 && layout.replicas == 8 && layout.why == "the model fits one GPU"));
  layout = smallest_layout(8, fits_from(3));
  CHECK((layout.tensor_parallel == 4 && layout.replicas == 2));
  CHECK(layout.why == "the model fits 4 GPUs, and no fewer");
  layout = smallest_layout(6, fits_from(4));
  CHECK((layout.tensor_parallel == 6 && layout.replicas == 1));
  try {
    smallest_layout(4, fits_from(5));
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::no_device);
    CHECK(std::string(error.what()).find("4 GPUs: no room on 4") != std::string::npos);
  }
}

TEST_CASE("a rank's GPU is found by replica and rank") {
  const EngineConfig config{.tensor_parallel = 2, .replicas = 2, .devices = {3, 1, 0, 2}};
  CHECK(config.device_of(0, 0) == 3);
  CHECK(config.device_of(0, 1) == 1);
  CHECK(config.device_of(1, 0) == 0);
  CHECK(config.device_of(1, 1) == 2);
  CHECK((EngineConfig{.tensor_parallel = 2, .replicas = 2}.device_of(1, 1) == 3));
}

}  // namespace
}  // namespace penstock
