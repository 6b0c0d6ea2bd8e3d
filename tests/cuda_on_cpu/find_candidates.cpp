#include "tests/cuda_on_cpu/device_code.h"
//
#include "kernels/cuda/find_candidates.cu"
