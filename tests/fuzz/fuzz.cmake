# tests/fuzz/fuzz_NAME.cpp -> fuzz_NAME, run by scripts/check.sh fuzz. Of engine and app only what reads other people's
# files and lines: the kernels are written in GCC's dialect, and no target gets as far as them.
file(GLOB engine_sources CONFIGURE_DEPENDS engine/json*.cpp engine/text/*.cpp engine/model/*config.cpp
     engine/model/safetensors_*.cpp)
add_library(engine STATIC ${engine_sources} engine/model/folder_file.cpp engine/model/json_fields.cpp
            engine/model/model_family.cpp engine/model/rope_table.cpp)
target_include_directories(engine PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(engine PUBLIC nlohmann_json::nlohmann_json PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::XXHASH)
file(GLOB app_sources CONFIGURE_DEPENDS app/request*.cpp)
add_library(app STATIC ${app_sources} app/completion.cpp app/field_reader.cpp app/prepare.cpp app/resolve.cpp
            app/scoring.cpp)
target_link_libraries(app PUBLIC engine)

file(GLOB fuzz_targets CONFIGURE_DEPENDS tests/fuzz/fuzz_*.cpp)
foreach(source ${fuzz_targets})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(${name} PRIVATE app)
endforeach()
