// A graph being drawn: the pool of values, and the choices that all families of steps share.
#pragma once

#include <optional>
#include <vector>

#include "graph/ir/builder.hpp"
#include "tests/fuzz/drawn_graph.hpp"
#include "tests/support/dice.hpp"

namespace weft::fuzz {

class Drawing {
 public:
  explicit Drawing(unsigned seed);

  testing::Dice dice;
  GraphBuilder b;
  std::map<std::string, Tensor> inputs;
  std::vector<ValueId> pool;
  bool has_attention = false;

  // What steps take.
  ValueId any();  ///< recent values more often
  std::optional<ValueId> any_float();
  std::optional<ValueId> any_number();  ///< not bool
  std::optional<ValueId> any_of(DType type, const Shape& shape);
  /// Made before where there is one, or new.
  ValueId same_type(ValueId v);
  /// Of v's type and shape, perhaps broadcast from fewer dimensions, perhaps a constant.
  ValueId operand_for(ValueId v);
  /// A new input, state or constant.
  ValueId fresh(DType type, const Shape& shape);
  ValueId fresh(Tensor value);
  /// A new state.
  ValueId weight(DType type, const Shape& shape);
  /// Whole numbers, most of them in [0, extent), of some integer type.
  ValueId indices(const Shape& shape, std::int64_t extent, bool outside_too);
  DType float_type();
  DType any_type();
  /// Of at most 4 dimensions; small, with the sizes around vectors and tiles among them.
  Shape shape(int lowest_rank, int highest_rank);
  std::int64_t extent();
  int axis_of(ValueId v) { return static_cast<int>(dice.roll(0, b.shape(v).rank() - 1)); }

  void add(ValueId v);

  static constexpr std::int64_t kMostElements = 20000;

 private:
  Tensor values(DType type, const Shape& shape);
};

// The steps. Each adds to the pool, or does nothing where nothing in the pool fits.
void draw_pointwise(Drawing& d);
void draw_movement(Drawing& d);
void draw_reduction(Drawing& d);
void draw_normalisation(Drawing& d);
void draw_product(Drawing& d);
void draw_convolution(Drawing& d);
void draw_window(Drawing& d);
void draw_indexing(Drawing& d);
void draw_random(Drawing& d);
void draw_attention(Drawing& d);
void draw_network(Drawing& d);

}  // namespace weft::fuzz
