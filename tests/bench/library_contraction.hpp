// The best that the library does with one contraction, alone: any of its formats and implementations, no epilogue.
#pragma once

#include <memory>
#include <string>

#include "tests/bench/measure.hpp"
#include "weft/graph.hpp"

namespace weft::bench {

/// Equal for contractions that are one measurement.
std::string contraction_key(const Graph& graph, const Node& node);

class LibraryContraction {
 public:
  virtual ~LibraryContraction() = default;
  virtual void run() = 0;
  virtual std::string describe() const = 0;  ///< implementation and formats
};

/// The library, and memory that all contractions of it share: run one at a time. Outlives them.
class ContractionLibrary {
 public:
  ContractionLibrary(Device& device, const Clock& clock);
  ~ContractionLibrary();

  /// Tries what the library has for `node` (a contraction other than a window reduction) and keeps the fastest; nullptr
  /// where it has nothing. `winograd` lets convolutions be computed by Winograd's algorithm.
  std::unique_ptr<LibraryContraction> best(const Graph& graph, const Node& node, bool winograd);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weft::bench
