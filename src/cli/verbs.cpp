// The table of verbs, in the order of the help text.
#include "src/cli/verbs.hpp"

#include <array>

namespace weft::cli {

std::span<const Verb> verbs() {
  static constexpr auto kVerbs = std::to_array<Verb>({
      {"job", "shows a job with its defaults filled in, or every key there is (--schema)", RunsOn::first_rank, run_job},
  });
  return kVerbs;
}

}  // namespace weft::cli
