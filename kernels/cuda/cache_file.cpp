#include "kernels/cuda/cache_file.h"

#include <cuda_runtime_api.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>

#include "kernels/cuda/check.h"

namespace penstock::cuda {
namespace {

std::string cache_folder() {
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder) return std::string(folder) + "/penstock";
  if (const char* home = std::getenv("HOME"); home && *home) return std::string(home) + "/.cache/penstock";
  return {};
}

}  // namespace

std::string cache_file(const std::string& what, const std::string& version) {
  const std::string folder = cache_folder();
  if (folder.empty()) return {};
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  int device = 0, driver = 0;
  cudaDeviceProp properties;
  PENSTOCK_CUDA(cudaGetDevice(&device));
  PENSTOCK_CUDA(cudaGetDeviceProperties(&properties, device));
  PENSTOCK_CUDA(cudaDriverGetVersion(&driver));
  std::string gpu = properties.name;
  for (char& c : gpu)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '-';
  return folder + "/" + what + "-" + gpu + "-" + std::to_string(driver) + "-" + version + ".bin";
}

}  // namespace penstock::cuda
