// What the tests of communicators share: the world that main joined, and a request that tests wait for.
#pragma once

#include <vector>

#include "weft/communicator.hpp"

namespace weft::test {

/// Collective the first time. Lives until the program ends.
Communicator& world();

template <class T>
std::byte* bytes(std::vector<T>& values) {
  return reinterpret_cast<std::byte*>(values.data());
}

inline OperationLabel label(const char* name) { return {name, 1, 0}; }

}  // namespace weft::test
