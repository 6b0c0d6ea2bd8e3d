# The ops are compiled once for each instruction set, into namespaces of their own. The files of the later sets come
# last on the link line, so that where they share an inline function with the rest of the program, the copy without
# special instructions is the one that is kept.
set(op_files embed matmul rms_norm add_rms_norm qk_norm_rope_store paged_attention gated_mul soft_cap gather_rows
    sample score find_candidates choose_candidates copy_blocks roofline op_table)
list(TRANSFORM op_files PREPEND ${CMAKE_SOURCE_DIR}/kernels/cpu/)
list(TRANSFORM op_files APPEND .cpp)
list(REMOVE_ITEM kernels_sources ${op_files})
set_property(TARGET kernels PROPERTY SOURCES ${kernels_sources})

set(instruction_sets baseline)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND instruction_sets avx2 avx512)
  set(flags_avx2 -mavx2 -mfma -mf16c)
  set(flags_avx512 -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mprefer-vector-width=512)
endif()
foreach(set ${instruction_sets})
  add_library(ops_${set} OBJECT ${op_files})
  target_include_directories(ops_${set} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(ops_${set} PRIVATE PENSTOCK_ISA=${set})
  target_compile_options(ops_${set} PRIVATE -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math ${flags_${set}})
  target_sources(kernels PRIVATE $<TARGET_OBJECTS:ops_${set}>)
endforeach()
