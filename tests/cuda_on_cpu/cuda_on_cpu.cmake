# Part of tests_kernels where threads can be switched: see device.cpp.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  file(GLOB cuda_on_cpu_sources CONFIGURE_DEPENDS tests/cuda_on_cpu/*.cpp)
  add_library(cuda_on_cpu OBJECT ${cuda_on_cpu_sources})
  # Its headers come before those of the same names.
  target_include_directories(cuda_on_cpu PRIVATE tests/cuda_on_cpu ${CMAKE_SOURCE_DIR})
  target_include_directories(cuda_on_cpu SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  # As exact as the CPU's kernels; and pragmas and casts are nvcc's.
  target_compile_options(cuda_on_cpu PRIVATE -ffp-contract=off -Wno-unknown-pragmas -Wno-sign-compare -Wno-class-memaccess)
  target_sources(tests_kernels PRIVATE $<TARGET_OBJECTS:cuda_on_cpu>)
  target_compile_definitions(tests_kernels PRIVATE PENSTOCK_CUDA_ON_CPU)
endif()
