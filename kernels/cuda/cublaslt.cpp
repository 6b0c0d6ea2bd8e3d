#include "kernels/cuda/cublaslt.h"

#include <dlfcn.h>

#include <string>

#include "kernels/error.h"

namespace penstock::cuda {
namespace {

const std::string kLibrary = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);

void* open_library() {
  void* library = ::dlopen(kLibrary.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Error(ExitCode::no_device, std::string("cannot load cuBLASLt: ") + ::dlerror());
  return library;
}

template <class Function>
void find(void* library, Function& function, const char* name) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (!function) throw Error(ExitCode::no_device, kLibrary + " has no " + name);
}

CublasLt load() {
  void* library = open_library();
  CublasLt all;
  find(library, all.get_version, "cublasLtGetVersion");
  find(library, all.status_name, "cublasLtGetStatusName");
  find(library, all.create, "cublasLtCreate");
  find(library, all.destroy, "cublasLtDestroy");
  find(library, all.matmul, "cublasLtMatmul");
  find(library, all.desc_create, "cublasLtMatmulDescCreate");
  find(library, all.desc_destroy, "cublasLtMatmulDescDestroy");
  find(library, all.desc_set_attribute, "cublasLtMatmulDescSetAttribute");
  find(library, all.layout_create, "cublasLtMatrixLayoutCreate");
  find(library, all.layout_destroy, "cublasLtMatrixLayoutDestroy");
  find(library, all.preference_create, "cublasLtMatmulPreferenceCreate");
  find(library, all.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  find(library, all.preference_set_attribute, "cublasLtMatmulPreferenceSetAttribute");
  find(library, all.get_heuristic, "cublasLtMatmulAlgoGetHeuristic");
  return all;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt all = load();
  return all;
}

}  // namespace penstock::cuda
