// Before the Programs' first message: ranks whose collectives differ would wait for each other, or add up what does not
// belong together.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weft/communicator.hpp"
#include "weft/mesh.hpp"
#include "weft/program.hpp"

namespace weft {

/// Collective over the ranks of `mesh`. "" where they agree; otherwise the same message on all, naming what differs and
/// on which ranks. All must make the same exchanges in the same order; those that exchange with each other must
/// exchange the same sizes, which may differ between groups of an axis (samples or parts that are not even). `others`
/// must be equal on all.
std::string first_program_difference(Communicator& world, const Mesh& mesh, const std::vector<const Program*>& programs,
                                     std::map<std::string, std::string> others);

}  // namespace weft
