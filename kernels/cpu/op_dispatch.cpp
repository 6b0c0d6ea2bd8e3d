#include <cstdlib>
#include <string_view>
#include <vector>

#include "kernels/cpu/ops.h"

namespace penstock::cpu {

namespace baseline {
extern const Ops table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Ops table;
}
namespace avx512 {
extern const Ops table;
}
#endif

namespace {

std::vector<const Ops*> find_runnable() {
  std::vector<const Ops*> tables;
#if defined(__x86_64__)
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512bf16");
  if (avx512) tables.push_back(&avx512::table);
  if (avx2) tables.push_back(&avx2::table);
#endif
  tables.push_back(&baseline::table);
  return tables;
}

const Ops& choose() {
  std::span<const Ops* const> tables = runnable_ops();
  const char* wanted = std::getenv("PENSTOCK_CPU");
  if (!wanted) return *tables.front();
  for (const Ops* table : tables)
    if (std::string_view(wanted) == table->name) return *table;
  if (std::string_view(wanted) == "avx512" || std::string_view(wanted) == "avx2") return *tables.front();
  throw Error(ExitCode::usage, std::string("PENSTOCK_CPU is ") + wanted + ", not avx512, avx2 or baseline");
}

}  // namespace

std::span<const Ops* const> runnable_ops() {
  static const std::vector<const Ops*> tables = find_runnable();
  return tables;
}

const Ops& ops() {
  static const Ops& chosen = choose();
  return chosen;
}

}  // namespace penstock::cpu
