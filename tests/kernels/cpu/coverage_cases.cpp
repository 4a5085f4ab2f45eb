// Values hold the specials of their type: NaN, infinities, signed zeros, integer extremes.
#include "tests/kernels/cpu/coverage_cases.hpp"

#include <functional>
#include <limits>

#include "weft/error.hpp"

namespace weft::testing {
namespace {

constexpr DType kTypes[] = {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32,    DType::i16,
                            DType::i8,  DType::u64, DType::u32, DType::u16,  DType::u8,  DType::boolean};

std::int64_t integer(std::int64_t value) { return value; }

std::vector<double> specials(DType type) {
  if (type == DType::boolean) return {0, 1};
  if (is_float(type))
    return {0,
            -0.0,
            1,
            -1,
            0.5,
            -2.5,
            7,
            1e-3,
            80,
            -80,
            3e4,
            std::numeric_limits<double>::infinity(),
            -std::numeric_limits<double>::infinity(),
            std::numeric_limits<double>::quiet_NaN()};
  if (is_signed_integer(type)) return {0, 1, -1, 2, -7, 5, -1e30, 1e30, 31, 64};
  return {0, 1, 2, 7, 5, 1e30, 31, 64};
}

/// Specials, repeated: `period` of each before the next, so that two operands meet in all combinations.
Tensor special_tensor(DType type, const Shape& shape, std::int64_t period) {
  const std::vector<double> values = specials(type);
  Tensor t(DType::f64, shape);
  std::int64_t i = 0;
  for (double& x : t.mutable_values<double>()) x = values[static_cast<std::size_t>(i++ / period) % values.size()];
  return t.cast(type);
}

/// Numbers without specials, small enough for sums.
Tensor plain(DType type, const Shape& shape, unsigned seed) {
  const double low = is_float(type) || is_signed_integer(type) ? -3 : 0;
  return random_tensor(type, shape, seed, low, type == DType::boolean ? 1 : 3);
}

Tensor indices(const Shape& shape, std::int64_t extent) {
  Tensor t(DType::i64, shape);
  std::int64_t n = 0;
  for (std::int64_t& i : t.mutable_values<std::int64_t>()) i = n++ * 7 % (extent + 2) - 1;
  return t;
}

/// Collects the cases that the operator's rules admit.
class Cases {
 public:
  Cases(Op op, DType type) : op_(op), type_(type) {}

  /// One node with these operands, all of whose results are asked for.
  void add(const std::vector<Tensor>& operands, Attributes attributes = {}, double tolerance = 0) {
    CoverageCase c;
    std::vector<ValueId> values;
    for (const Tensor& t : operands) values.push_back(c.body.in(t));
    try {
      for (const ValueId v : c.body.b.node(op_, values, std::move(attributes))) c.body.out(v);
    } catch (const UserError&) {
      return;
    }
    c.tolerance = tolerance;
    cases_.push_back(std::move(c));
  }
  void add_constant(const Tensor& value) {
    CoverageCase c;
    c.body.out(c.body.b.constant(value));
    cases_.push_back(std::move(c));
  }
  std::vector<CoverageCase> take() && { return std::move(cases_); }

  Op op() const { return op_; }
  DType type() const { return type_; }
  double tolerance() const { return tolerance_of(type_); }

 private:
  Op op_;
  DType type_;
  std::vector<CoverageCase> cases_;
};

const Shape kElementwise[] = {{14, 1037}, {}, {0, 5}};

void add_sources(Cases& c) {
  if (c.op() == Op::constant) {
    c.add_constant(plain(c.type(), Shape{3, 5}, 1));
    c.add_constant(plain(c.type(), Shape{}, 1));
  } else if (c.op() == Op::iota) {
    for (const std::int64_t axis : {0, 1, 2})
      c.add({}, {{"dtype", c.type()}, {"shape", Dims{3, 300, 5}}, {"axis", axis}});
  } else if (c.type() == DType::i64) {
    const Tensor seed = Tensor::scalar<std::int64_t>(-5), step = Tensor::scalar<std::int64_t>(3);
    for (const std::int64_t dim : {-1, 0, 1})
      c.add({seed, step, step}, {{"id", integer(4)}, {"shape", Dims{5, 33}}, {"sample_dim", dim}});
  }
}

void add_unary(Cases& c) {
  for (const Shape& shape : kElementwise) {
    const Tensor x = special_tensor(c.type(), shape, 1), y = plain(c.type(), shape, 2);
    if (c.op() == Op::cast) {
      for (const DType to : kTypes) c.add({x}, {{"dtype", to}});
      continue;
    }
    const bool moves = c.op() == Op::stop_gradient || c.op() == Op::reorder || c.op() == Op::neg || c.op() == Op::abs;
    for (const Tensor& t : {x, y}) c.add({t}, {}, moves ? 0 : c.tolerance());
  }
}

void add_activation(Cases& c) {
  for (const Shape& shape : kElementwise)
    for (const Tensor& t : {special_tensor(c.type(), shape, 1), plain(c.type(), shape, 2)}) {
      if (c.op() != Op::gelu) c.add({t}, {}, c.tolerance());
      for (const char* approximate : {"none", "tanh"})
        if (c.op() == Op::gelu) c.add({t}, {{"approximate", std::string(approximate)}}, c.tolerance());
    }
}

void add_binary(Cases& c) {
  for (const Shape& shape : kElementwise) {
    c.add({special_tensor(c.type(), shape, 1), special_tensor(c.type(), shape, 14)}, {}, c.tolerance());
    c.add({plain(c.type(), shape, 1), plain(c.type(), shape, 2)}, {}, c.tolerance());
  }
}

void add_select(Cases& c) {
  for (const Shape& shape : kElementwise)
    c.add({random_tensor(DType::i32, shape, 1, 0, 2).cast(DType::boolean), special_tensor(c.type(), shape, 1),
           plain(c.type(), shape, 2)});
}

void add_movement(Cases& c) {
  if (c.op() == Op::after) return;
  const Tensor x = plain(c.type(), Shape{4, 6, 5}, 1), none = Tensor(c.type(), Shape{4, 0, 5});
  switch (c.op()) {
    case Op::reshape:
      c.add({x}, {{"shape", Dims{8, 15}}});
      c.add({none}, {{"shape", Dims{0, 7}}});
      break;
    case Op::transpose:
      c.add({x}, {{"order", Dims{2, 0, 1}}});
      c.add({none}, {{"order", Dims{2, 0, 1}}});
      break;
    case Op::broadcast:
      c.add({x}, {{"shape", Dims{4, 2, 6, 5}}, {"dims", Dims{0, 2, 3}}});
      c.add({plain(c.type(), Shape{1, 3}, 2)}, {{"shape", Dims{5, 3, 2}}, {"dims", Dims{0, 1}}});
      break;
    case Op::slice:
      c.add({x}, {{"start", Dims{1, 0, 0}}, {"limit", Dims{4, 6, 4}}, {"stride", Dims{2, 4, 1}}});
      c.add({x}, {{"start", Dims{1, 0, 0}}, {"limit", Dims{1, 6, 4}}, {"stride", Dims{2, 4, 1}}});
      break;
    case Op::pad:
      for (const Tensor& t : {x, none})
        c.add({t, plain(c.type(), Shape{}, 2)},
              {{"low", Dims{1, -1, 0}}, {"high", Dims{0, 2, -2}}, {"interior", Dims{0, 2, 1}}});
      break;
    case Op::concat:
      c.add({x, none, plain(c.type(), Shape{4, 2, 5}, 2)}, {{"axis", integer(1)}});
      c.add({x}, {{"axis", integer(1)}});
      break;
    default: c.add({x}, {{"dims", Dims{0, 2}}}); break;
  }
}

void add_indexing(Cases& c) {
  const Tensor x = special_tensor(c.type(), Shape{4, 6, 5}, 1), rows = indices(Shape{3, 7}, 6);
  const Tensor elements = indices(Shape{4, 9, 5}, 6), tuples = indices(Shape{4, 9, 2}, 6);
  const Tensor flat = indices(Shape{40, 2}, 6);
  switch (c.op()) {
    case Op::gather: c.add({x, rows}, {{"axis", integer(1)}}); break;
    case Op::scatter_add:
      c.add({rows, plain(c.type(), Shape{4, 3, 7, 5}, 2)}, {{"axis", integer(1)}, {"shape", Dims{4, 6, 5}}});
      break;
    case Op::gather_nd: c.add({x, tuples}, {{"batch_dims", integer(1)}}); break;
    case Op::gather_elements: c.add({x, elements}, {{"axis", integer(1)}}); break;
    default:
      for (const char* kind : {"replace", "add", "mul", "max", "min"})
        if (c.op() == Op::scatter_nd)
          c.add({x, flat, plain(c.type(), Shape{40, 5}, 2)}, {{"kind", std::string(kind)}});
        else
          c.add({x, elements, plain(c.type(), Shape{4, 9, 5}, 2)}, {{"axis", integer(1)}, {"kind", std::string(kind)}});
  }
}

void add_reduction(Cases& c) {
  const Shape shape{6, 33, 20};
  const Tensor x = plain(c.type(), shape, 1), special = special_tensor(c.type(), shape, 3);
  for (const std::int64_t axis : {0, 1, 2}) switch (c.op()) {
      case Op::argmax:
      case Op::argmin:
        for (const std::int64_t last : {0, 1}) c.add({special}, {{"axis", axis}, {"last", last}});
        break;
      case Op::cumsum:
        c.add({x}, {{"axis", axis}, {"exclusive", axis % 2}, {"reverse", integer(1)}}, c.tolerance());
        break;
      case Op::top_k:
        for (const std::int64_t largest : {0, 1})
          c.add({special}, {{"axis", axis}, {"k", integer(5)}, {"largest", largest}});
        break;
      default: {
        const bool exact = c.op() == Op::reduce_max || c.op() == Op::reduce_min;
        const Dims dims[] = {{axis}, {0, 1, 2}, {}, {0, axis == 0 ? 2 : axis}};
        for (const Dims& d : dims) {
          c.add({exact ? special : x}, {{"dims", d}}, c.tolerance() * (exact ? 0 : 4));
          c.add({Tensor(c.type(), Shape{3, 0, 2})}, {{"dims", d}});
        }
      }
    }
}

void add_window(Cases& c) {
  const Shape shape{2, 3, 9, 10};
  Attributes a = {{"window", Dims{1, 1, 3, 2}},
                  {"strides", Dims{1, 1, 2, 3}},
                  {"pads_low", Dims{0, 0, 1, 0}},
                  {"pads_high", Dims{0, 0, 1, 3}},
                  {"dilations", Dims{1, 1, 2, 1}}};
  const Shape y{2, 3, 4, 4};
  const double tolerance = c.tolerance() * 4;
  const Tensor x = plain(c.type(), shape, 1), dy = plain(c.type(), y, 2);
  switch (c.op()) {
    case Op::reduce_window_max_grad: c.add({x, dy}, a, tolerance); break;
    case Op::reduce_window_sum_grad:
      a.set("input_shape", shape.extents());
      c.add({dy}, a, tolerance);
      break;
    case Op::reduce_window_max: c.add({special_tensor(c.type(), shape, 3)}, a); break;
    default: c.add({x}, a, tolerance); break;
  }
}

void add_dot(Cases& c) {
  const double tolerance = c.tolerance() * 40;
  const auto product = [&](const Shape& x, const Shape& y, Dims xb, Dims yb, Dims xc, Dims yc) {
    c.add({plain(c.type(), x, 1), plain(c.type(), y, 2)},
          {{"x_batch", std::move(xb)},
           {"y_batch", std::move(yb)},
           {"x_contract", std::move(xc)},
           {"y_contract", std::move(yc)}},
          tolerance);
  };
  product({7, 33}, {33, 5}, {}, {}, {1}, {0});
  product({33, 7}, {5, 33}, {}, {}, {0}, {1});
  product({3, 7, 4}, {4, 3, 5}, {0}, {1}, {2}, {0});
  product({33}, {33}, {}, {}, {0}, {0});
  product({3}, {4}, {}, {}, {}, {});
  product({3, 4, 5}, {5, 4, 2}, {}, {}, {1, 2}, {1, 0});
  product({3, 0}, {0, 4}, {}, {}, {1}, {0});
  product({0, 3}, {3, 4}, {}, {}, {1}, {0});
}

void add_convolution(Cases& c) {
  const auto convolve = [&](const Shape& x, const Shape& w, const Shape& y, std::int64_t groups, Dims strides, Dims low,
                            Dims high, Dims dilations) {
    Attributes a = {{"strides", std::move(strides)},
                    {"pads_low", std::move(low)},
                    {"pads_high", std::move(high)},
                    {"dilations", std::move(dilations)},
                    {"groups", groups}};
    const Tensor xs = plain(c.type(), x, 1), ws = plain(c.type(), w, 2), ys = plain(c.type(), y, 3);
    if (c.op() == Op::conv_general) return c.add({xs, ws}, a, c.tolerance() * 60);
    const bool data = c.op() == Op::conv_data_grad;
    a.set(data ? "input_shape" : "filter_shape", (data ? x : w).extents());
    c.add({data ? ys : xs, data ? ws : ys}, a, c.tolerance() * 60);
  };
  convolve({2, 6, 9, 8}, {4, 3, 3, 2}, {2, 4, 5, 7}, 2, {2, 1}, {1, 0}, {1, 0}, {1, 1});
  convolve({2, 3, 12}, {5, 3, 3}, {2, 5, 10}, 1, {1}, {0}, {2}, {2});
  convolve({1, 4, 4, 5, 6}, {4, 1, 2, 2, 2}, {1, 4, 3, 4, 5}, 4, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1});
  convolve({0, 3, 12}, {5, 3, 3}, {0, 5, 10}, 1, {1}, {0}, {0}, {1});
}

}  // namespace

std::vector<CoverageCase> coverage_cases(Op op, DType type) {
  Cases c(op, type);
  switch (class_of(op)) {
    case OpClass::source: add_sources(c); break;
    case OpClass::unary: add_unary(c); break;
    case OpClass::binary:
    case OpClass::compare: add_binary(c); break;
    case OpClass::ternary: add_select(c); break;
    case OpClass::movement: add_movement(c); break;
    case OpClass::indexing: add_indexing(c); break;
    case OpClass::reduction: add_reduction(c); break;
    case OpClass::contraction:
      if (op == Op::dot_general)
        add_dot(c);
      else if (op == Op::conv_general || op == Op::conv_data_grad || op == Op::conv_filter_grad)
        add_convolution(c);
      else
        add_window(c);
      break;
    case OpClass::composite:
      if (is_pointwise(op)) add_activation(c);
      break;
    case OpClass::control:
    case OpClass::collective: break;
  }
  return std::move(c).take();
}

}  // namespace weft::testing
