// Sums, products and extremes over any dimensions, of nothing included.
#include <limits>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/reference_routine.hpp"
#include "kernels/cpu/wide.hpp"

namespace weft::cpu::reference {
namespace {

template <class T>
Wide<T> initial(Op op) {
  constexpr bool kFloat = std::is_same_v<Wide<T>, double>;
  if (op == Op::reduce_max) {
    if constexpr (kFloat)
      return -std::numeric_limits<double>::infinity();
    else
      return widen(std::numeric_limits<T>::lowest());
  }
  if (op == Op::reduce_min) {
    if constexpr (kFloat)
      return std::numeric_limits<double>::infinity();
    else
      return widen(std::numeric_limits<T>::max());
  }
  return op == Op::reduce_prod ? Wide<T>{1} : Wide<T>{};
}

template <class W>
W combined(Op op, W a, W b) {
  switch (op) {
    case Op::reduce_max: return wide_max(a, b);
    case Op::reduce_min: return wide_min(a, b);
    case Op::reduce_prod: return wide_mul(a, b);
    default: return wide_add(a, b);
  }
}

/// Dimensions of an operand by what becomes of them, with their strides.
struct Axes {
  Dims extents, strides;
  std::int64_t elements = 1;

  void add(std::int64_t extent, std::int64_t stride) {
    extents.push_back(extent);
    strides.push_back(stride);
    elements *= extent;
  }
  std::int64_t offset(std::int64_t at) const {
    std::int64_t result = 0;
    for (std::size_t d = extents.size(); d-- > 0; at /= extents[d]) result += at % extents[d] * strides[d];
    return result;
  }
};

class Reduction final : public Routine {
 public:
  explicit Reduction(const Problem& p) : op_(p.op), type_(p.operands[0].dtype), threads_(p.context.threads) {
    const Shape& shape = p.operands[0].shape;
    const Dims strides = shape.row_major_strides();
    std::vector<bool> reduced(shape.extents().size(), false);
    for (const std::int64_t d : p.attributes.integers("dims")) reduced[static_cast<std::size_t>(d)] = true;
    for (std::size_t d = 0; d < reduced.size(); ++d)
      (reduced[d] ? reduced_ : kept_).add(shape.extents()[d], strides[d]);
  }

  void run(const Buffers& buffers) const override {
    visit_dtype(type_, [&]<class T>(TypeTag<T>) {
      const T* x = reinterpret_cast<const T*>(buffers.operands[0]);
      T* to = reinterpret_cast<T*>(buffers.results[0]);
      parallel_ranges(threads_, kept_.elements, 64, kept_.elements * (reduced_.elements + 1),
                      [&](int, std::int64_t begin, std::int64_t end) {
                        for (std::int64_t i = begin; i < end; ++i) {
                          const T* from = x + (reduced_.elements > 0 ? kept_.offset(i) : 0);
                          Wide<T> result = initial<T>(op_);
                          for (std::int64_t r = 0; r < reduced_.elements; ++r)
                            result = combined(op_, result, widen(from[reduced_.offset(r)]));
                          to[i] = narrow<T>(result);
                        }
                      });
    });
  }

 private:
  Op op_;
  DType type_;
  int threads_;
  Axes kept_, reduced_;
};

}  // namespace

std::unique_ptr<Routine> make_reduction(const Problem& p) {
  switch (p.op) {
    case Op::reduce_sum:
    case Op::reduce_max:
    case Op::reduce_min:
    case Op::reduce_prod: return std::make_unique<Reduction>(p);
    default: return nullptr;
  }
}

}  // namespace weft::cpu::reference
