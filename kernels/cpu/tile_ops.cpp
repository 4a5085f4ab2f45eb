// Choice among the instruction sets' tables.
#include "kernels/cpu/tile_ops.hpp"

namespace weft::cpu {

TileOps tile_ops_avx512();
TileOps tile_ops_avx2();
TileOps tile_ops_baseline();

const TileOps& tile_ops(CpuIsa isa) {
  // Made on first use: building one runs code of its instruction set, which this processor may lack.
  if (isa == CpuIsa::avx512) {
    static const TileOps table = tile_ops_avx512();
    return table;
  }
  if (isa == CpuIsa::avx2) {
    static const TileOps table = tile_ops_avx2();
    return table;
  }
  static const TileOps table = tile_ops_baseline();
  return table;
}

}  // namespace weft::cpu
