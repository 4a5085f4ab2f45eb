// What a compilation made, for people and programs: plan, instructions by class, memory, kernels and who took them.
#pragma once

#include <string>
#include <vector>

#include "src/compile/compilation.hpp"

namespace weft {

/// Instructions of one class ("convolution", "elementwise", "all-reduce"), and their estimated costs.
struct ClassTotal {
  std::string name;
  std::int64_t instructions = 0;
  double seconds = 0;           ///< on their lane; a wait's are what is left to wait for
  double flops = 0, bytes = 0;  ///< of kernels and copies
};

struct ProgramSummary {
  std::vector<ClassTotal> classes;                            ///< by falling time
  std::vector<std::pair<std::string, std::int64_t>> kernels;  ///< implementation, launches; by falling count
  std::int64_t reorders = 0;                                  ///< kernels that only change a layout
  double seconds = 0;                                         ///< of all kernels, one after the other
  double predicted = 0, low = 0, high = 0;                    ///< seconds of one execution, communication included
  std::int64_t arena_bytes = 0, liveness_bound_bytes = 0;
};
/// `mesh` is how the ranks are arranged; one rank without.
ProgramSummary summarise(const Program& program, const Mesh& mesh = {});

/// Bytes a rank holds while it runs any of the programs.
struct MemorySummary {
  std::int64_t arena = 0, liveness_bound = 0;  ///< of the largest
  std::int64_t states = 0;                     ///< of all, each once
  std::int64_t others = 0;                     ///< constants, feeds and fetches
  std::int64_t total() const { return arena + states + others; }
};
MemorySummary memory_of(const Compilation& compilation);

std::string summary_text(const Compilation& compilation);
/// Each kernel of each program: who took it at what estimated cost, and who refused it and why.
std::string explain_text(const Compilation& compilation);
std::string report_json(const Compilation& compilation, bool explain);

/// What each pass did in each program: time, and how large the form was before and after.
std::string passes_text(const Compilation& compilation);
/// The passes there are, one a line with what they do.
std::string pass_list_text();
/// Throws UserError naming what there is where `pass` is neither a pass nor "graph" or "program".
void check_dump_name(const std::string& pass);
/// Throws UserError where one of the names given to --without is no pass that can be left out.
void check_left_out(const std::vector<std::string>& passes);
/// Of all programs: the forms before and after each run of a pass, which compilation was told to keep; or "graph", the
/// whole step, or "program", the Program.
std::string dump(const Compilation& compilation, const std::string& pass);

}  // namespace weft
