// The table of verbs, in the order of the help text.
#include "src/cli/verbs.hpp"

#include <array>

namespace weft::cli {

std::span<const Verb> verbs() {
  static constexpr auto kVerbs = std::to_array<Verb>({
      {"data", "import: other formats to training data; show: describes such a file", RunsOn::first_rank, run_data},
      {"inspect", "says what a file is and whether it is sound", RunsOn::first_rank, run_inspect},
      {"job", "shows a job with its defaults filled in, or every key there is (--schema)", RunsOn::first_rank, run_job},
  });
  return kVerbs;
}

}  // namespace weft::cli
