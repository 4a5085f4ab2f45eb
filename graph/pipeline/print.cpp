// What a pipeline exchanges and in which order, for people.
#include <fmt/format.h>

#include <iterator>

#include "graph/pipeline/pipeline.hpp"

namespace weft {
namespace {

std::string text_of(const Pipeline& pipeline, const PipelineAction& action, const RankScript& script) {
  std::string line = action.segment == PipelineAction::kNone
                         ? "end"
                         : pipeline.segments[static_cast<std::size_t>(action.segment)].name;
  if (action.micro_batch != PipelineAction::kNone) line += fmt::format(" of micro-batch {}", action.micro_batch);
  if (!action.needs.empty()) {
    line += ", needs";
    for (const int i : action.needs) line += " " + script.receives[static_cast<std::size_t>(i)].name;
  }
  if (action.sends_to > action.sends_from) line += ", sends";
  for (int i = action.sends_from; i < action.sends_to; ++i) {
    const Transfer& t = script.sends[static_cast<std::size_t>(i)];
    line += fmt::format(" {}>{}", t.name, t.peer);
  }
  return line;
}

}  // namespace

std::string str(const Pipeline& pipeline) {
  std::string text;
  for (std::size_t r = 0; r < pipeline.scripts.size(); ++r) {
    const RankScript& script = pipeline.scripts[r];
    fmt::format_to(std::back_inserter(text), "rank {}\n", r);
    for (const PipelineBuffer& b : script.buffers)
      fmt::format_to(std::back_inserter(text), "  {} {} x {}\n", b.name, b.type.str(), b.slots);
    for (const PipelineAction& action : script.actions)
      fmt::format_to(std::back_inserter(text), "  {}\n", text_of(pipeline, action, script));
  }
  return text;
}

}  // namespace weft
