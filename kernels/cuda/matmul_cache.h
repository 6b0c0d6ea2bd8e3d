// Which cuBLASLt algorithm was fastest for a shape, remembered on disk between runs.
#pragma once
#include <cublasLt.h>

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace penstock::cuda {

struct MatmulShape {
  int64_t tokens = 0, out_features = 0, in_features = 0, x_stride = 0, out_stride = 0;
  int64_t out_is_f32 = 0;
  auto operator<=>(const MatmulShape&) const = default;
};

// A file of records for one GPU model, driver and cuBLASLt: $XDG_CACHE_HOME or ~/.cache, penstock/matmul-….bin. Several
// processes may read and append at the same time: a record is one write, and one that is torn or foreign fails its
// checksum and is skipped. Where the folder cannot be written nothing is remembered.
class MatmulCache {
 public:
  // Of the current device.
  MatmulCache();

  std::optional<cublasLtMatmulAlgo_t> find(const MatmulShape& shape) const;
  void remember(const MatmulShape& shape, const cublasLtMatmulAlgo_t& algorithm);

 private:
  void load();

  std::string path_;  // empty: there is none
  std::map<MatmulShape, cublasLtMatmulAlgo_t> known_;
};

}  // namespace penstock::cuda
