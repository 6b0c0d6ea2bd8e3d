// Where what was measured on a GPU is kept between runs.
#pragma once
#include <string>

namespace penstock::cuda {

// A file for the current device's model and driver: $XDG_CACHE_HOME or ~/.cache, penstock/WHAT-….bin, named by
// `version` too. Makes the folder. Empty where there is no place for it.
std::string cache_file(const std::string& what, const std::string& version);

}  // namespace penstock::cuda
