// Agreement before step 0: ranks compare what must be equal (job, plan, program signatures) and say what is not.
#pragma once

#include <map>
#include <string>

#include "weft/communicator.hpp"

namespace weft {

/// Collective. "" when all ranks pass equal maps. Otherwise the same message on every rank, naming the first key (in
/// key order) that differs or is missing somewhere, which ranks hold which value, and where the values part. When all
/// agree, eight bytes a rank travel.
std::string first_difference(Communicator& comm, const std::map<std::string, std::string>& mine);

}  // namespace weft
