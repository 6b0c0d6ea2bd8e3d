#include "tests/cuda_on_cpu/device_code.h"
//
#include "kernels/cuda/choose_candidates.cu"
