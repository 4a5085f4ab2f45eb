// Choice among the instruction sets' tables.
#include "kernels/cpu/tile_ops.hpp"

namespace weft::cpu {

TileOps tile_ops_avx512();
TileOps tile_ops_avx2();
TileOps tile_ops_baseline();

std::shared_ptr<const TileOps> make_tile_ops(CpuIsa isa) {
  // Building a table runs code of its instruction set.
  if (isa == CpuIsa::avx512) return std::make_shared<const TileOps>(tile_ops_avx512());
  if (isa == CpuIsa::avx2) return std::make_shared<const TileOps>(tile_ops_avx2());
  return std::make_shared<const TileOps>(tile_ops_baseline());
}

}  // namespace weft::cpu
