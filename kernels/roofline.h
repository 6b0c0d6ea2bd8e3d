// What a device can do at most, as Backend::measure_roofline has found it. The model is Williams et al. 2009's.
#pragma once

namespace penstock {

struct Roofline {
  double flops = 0;         // a second, in the dtype of the arithmetic
  double memory_bytes = 0;  // a second, of a device's memory
  double cache_bytes = 0;   // a second; where it is not told apart, the same
};

}  // namespace penstock
