// Orders of all, then sizes in each group.
#include "src/train/program_agreement.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "comm/first_difference.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

using Axes = std::vector<std::string>;

bool spans_all(const Mesh& mesh, const Axes& axes) {
  for (const MeshAxis& axis : mesh.axes)
    if (axis.size > 1 && std::find(axes.begin(), axes.end(), axis.name) == axes.end()) return false;
  return true;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

/// One for each collective, as Program::collective_signature lists them.
std::vector<Axes> axes_of(const Program& program) {
  std::vector<Axes> result;
  for (const Instruction& i : program.instructions)
    if (i.kind == InstructionKind::collective_start) result.push_back(i.collective.axes);
  return result;
}

/// The collectives over some ranks only, by program and axes.
using GroupSignatures = std::map<std::pair<std::string, Axes>, std::string>;

void add_signatures(const Program& program, const Mesh& mesh, std::map<std::string, std::string>& all,
                    GroupSignatures& groups) {
  const std::vector<Axes> axes = axes_of(program);
  const std::vector<std::string> lines = lines_of(program.collective_signature());
  std::string& order = all[fmt::format("collectives of program '{}'", program.role)];
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (spans_all(mesh, axes[i])) {
      order += lines[i] + "\n";
      continue;
    }
    order += fmt::format("#{} over [{}]\n", i, fmt::join(axes[i], ","));
    groups[{program.role, axes[i]}] += lines[i] + "\n";
  }
}

}  // namespace

std::string first_program_difference(Communicator& world, const Mesh& mesh, const std::vector<const Program*>& programs,
                                     std::map<std::string, std::string> others) {
  GroupSignatures groups;
  for (const Program* program : programs) add_signatures(*program, mesh, others, groups);
  if (std::string difference = first_difference(world, others); !difference.empty()) return difference;

  // The same programs exchange over the same axes on all ranks, as was just seen.
  std::vector<std::uint64_t> mine;
  for (const auto& [which, text] : groups) mine.push_back(hash64(text));
  if (mine.empty()) return "";
  const auto hashes = gather_bytes(world, std::as_bytes(std::span(mine)), "comparing collectives");
  const auto hash_of = [&](int rank, std::size_t g) {
    std::uint64_t hash = 0;
    std::memcpy(&hash, hashes.at(static_cast<std::size_t>(rank)).data() + g * sizeof hash, sizeof hash);
    return hash;
  };
  std::size_t g = 0;
  for (const auto& [which, text] : groups) {
    for (int rank = 0; rank < mesh.ranks(); ++rank)
      for (const int peer : mesh.group(rank, which.second))
        if (hash_of(rank, g) != hash_of(peer, g))
          return fmt::format("ranks {} and {} disagree on the sizes of collectives of program '{}' over [{}]",
                             std::min(rank, peer), std::max(rank, peer), which.first, fmt::join(which.second, ","));
    ++g;
  }
  return "";
}

}  // namespace weft
