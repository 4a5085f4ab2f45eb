// One line a limit: who lifts it removes the line.
#include "src/job/parallel_limits.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "weft/error.hpp"

namespace weft {

void check_parallel(const ParallelSpec& p) {
  std::vector<std::string> asked;
  if (p.pipeline != 1) asked.push_back(fmt::format("parallel.pipeline: {} (allowed: 1)", p.pipeline));
  if (asked.empty()) return;
  throw UserError(
      fmt::format("{}: this version's ranks share the batch (parallel.data, its states too with parallel.zero) and "
                  "the layers (parallel.tensor), and nothing else; remove it",
                  fmt::join(asked, ", ")));
}

}  // namespace weft
