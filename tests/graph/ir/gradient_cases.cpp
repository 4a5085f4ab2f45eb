// Shapes and attributes for the finite-difference test, by family.
#include "tests/graph/ir/gradient_cases.hpp"

namespace weft {
namespace {

using I = std::int64_t;
using Cases = std::vector<GradientCase>;

GradientOperand fixed(Tensor value) { return {value.shape(), 0, 0, {value}}; }
GradientOperand indices(Shape shape, std::initializer_list<I> values) {
  return fixed(Tensor::from<I>(std::move(shape), values));
}
GradientOperand numbers(Shape shape, std::initializer_list<double> values) {
  return fixed(Tensor::from<double>(std::move(shape), values));
}
std::string kind(const char* text) { return text; }

void unary(Cases& cases) {
  for (const Op op : {Op::neg,      Op::exp,   Op::expm1, Op::sin,   Op::cos,  Op::atan,       Op::sinh,
                      Op::cosh,     Op::asinh, Op::tanh,  Op::erf,   Op::abs,  Op::relu,       Op::sigmoid,
                      Op::softplus, Op::silu,  Op::sign,  Op::floor, Op::ceil, Op::round_even, Op::reorder})
    cases.push_back({op, {{{3, 4}}}});
  for (const Op op : {Op::log, Op::log1p, Op::sqrt, Op::rsqrt, Op::reciprocal}) cases.push_back({op, {{{5}, 0.3, 3}}});
  for (const Op op : {Op::tan, Op::asin, Op::acos, Op::atanh}) cases.push_back({op, {{{5}, -0.9, 0.9}}});
  cases.push_back({Op::acosh, {{{5}, 1.2, 3}}});
  for (const char* form : {"none", "tanh"}) cases.push_back({Op::gelu, {{{7}}}, {{"approximate", kind(form)}}});
  cases.push_back({Op::cast, {{{4}}}, {{"dtype", DType::f64}}});
}

void elementwise(Cases& cases) {
  for (const Op op : {Op::add, Op::sub, Op::mul, Op::maximum, Op::minimum}) cases.push_back({op, {{{2, 3}}, {{2, 3}}}});
  cases.push_back({Op::div, {{{6}}, {{6}, 0.5, 2}}});
  cases.push_back({Op::rem, {numbers({3}, {5.3, -5.3, 1.1}), numbers({3}, {2.2, 1.7, -3.1})}});
  cases.push_back({Op::pow, {{{6}, 0.3, 2}, {{6}}}});
  cases.push_back({Op::select, {fixed(Tensor::from<bool>({4}, {true, false, false, true})), {{4}}, {{4}}}});
}

void movement(Cases& cases) {
  cases.push_back({Op::reshape, {{{2, 6}}}, {{"shape", Dims{3, 4}}}});
  cases.push_back({Op::transpose, {{{2, 3, 4}}}, {{"order", Dims{2, 0, 1}}}});
  cases.push_back({Op::broadcast, {{{3, 1}}}, {{"shape", Dims{2, 3, 4}}, {"dims", Dims{1, 2}}}});
  cases.push_back({Op::broadcast, {{{}}}, {{"shape", Dims{2, 2}}, {"dims", Dims{}}}});
  cases.push_back({Op::slice, {{{5, 6}}}, {{"start", Dims{1, 0}}, {"limit", Dims{4, 6}}, {"stride", Dims{1, 4}}}});
  cases.push_back({Op::slice, {{{5}}}, {{"start", Dims{2}}, {"limit", Dims{2}}, {"stride", Dims{3}}}});
  cases.push_back({Op::slice, {{{5}}}, {{"start", Dims{2}}, {"limit", Dims{5}}, {"stride", Dims{I{1} << 40}}}});
  cases.push_back({Op::pad, {{{3, 4}}, {{}}}, {{"low", Dims{1, -1}}, {"high", Dims{2, 1}}, {"interior", Dims{1, 0}}}});
  cases.push_back({Op::pad, {{{4}}, {{}}}, {{"low", Dims{-1}}, {"high", Dims{-2}}, {"interior", Dims{2}}}});
  cases.push_back({Op::concat, {{{2, 3}}, {{2, 1}}, {{2, 2}}}, {{"axis", I{1}}}});
  cases.push_back({Op::reverse, {{{2, 3}}}, {{"dims", Dims{0, 1}}}});
  cases.push_back({Op::after, {{{2, 3}}, {{4}}}});
}

void indexing(Cases& cases) {
  cases.push_back({Op::gather, {{{3, 4}}, indices({2, 2}, {0, 3, 3, 1})}, {{"axis", I{1}}}});
  cases.push_back({Op::gather, {{{3, 4}}, indices({}, {2})}, {{"axis", I{0}}}});
  cases.push_back({Op::scatter_add, {indices({3}, {1, 7, 1}), {{3, 2}}}, {{"axis", I{0}}, {"shape", Dims{4, 2}}}});
  cases.push_back({Op::gather_nd, {{{2, 3, 2}}, indices({3, 2}, {0, 1, 1, 2, 0, 1})}, {{"batch_dims", I{0}}}});
  cases.push_back({Op::gather_nd, {{{2, 3, 2}}, indices({2, 2, 1}, {0, 2, 1, 1})}, {{"batch_dims", I{1}}}});
  cases.push_back({Op::gather_elements, {{{3, 4}}, indices({2, 3}, {0, 3, 1, 1, 1, 2})}, {{"axis", I{1}}}});
  for (const char* how : {"replace", "add", "mul", "max", "min"}) {
    cases.push_back({Op::scatter_nd, {{{4, 2}}, indices({3, 1}, {1, 3, 1}), {{3, 2}}}, {{"kind", kind(how)}}});
    cases.push_back({Op::scatter_elements,
                     {{{3, 4}}, indices({2, 3}, {0, 3, 0, 1, 9, 2}), {{2, 3}}},
                     {{"axis", I{1}}, {"kind", kind(how)}}});
  }
}

void reductions(Cases& cases) {
  for (const Op op : {Op::reduce_sum, Op::reduce_max, Op::reduce_min, Op::reduce_prod})
    for (const Dims& dims : {Dims{1}, Dims{0, 2}, Dims{}}) cases.push_back({op, {{{2, 3, 2}}}, {{"dims", dims}}});
  cases.push_back({Op::reduce_prod, {numbers({3, 3}, {1, 0, 2, 0, 0, 3, 4, 5, 6})}, {{"dims", Dims{1}}}});
  for (const I exclusive : {0, 1})
    for (const I reverse : {0, 1})
      cases.push_back({Op::cumsum, {{{2, 4}}}, {{"axis", I{1}}, {"exclusive", exclusive}, {"reverse", reverse}}});
  for (const I largest : {0, 1})
    cases.push_back({Op::top_k, {{{2, 5}}}, {{"axis", I{1}}, {"k", I{3}}, {"largest", largest}}});
}

Attributes dot(Dims x_batch, Dims y_batch, Dims x_contract, Dims y_contract) {
  return {{"x_batch", x_batch}, {"y_batch", y_batch}, {"x_contract", x_contract}, {"y_contract", y_contract}};
}

Attributes window(Dims strides, Dims low, Dims high, Dims dilations) {
  return {{"strides", strides}, {"pads_low", low}, {"pads_high", high}, {"dilations", dilations}};
}
Attributes with(Attributes attributes, const char* name, Attribute value) {
  attributes.set(name, std::move(value));
  return attributes;
}

void contractions(Cases& cases) {
  cases.push_back({Op::dot_general, {{{2, 3}}, {{3, 4}}}, dot({}, {}, {1}, {0})});
  cases.push_back({Op::dot_general, {{{3, 2}}, {{4, 3}}}, dot({}, {}, {0}, {1})});
  cases.push_back({Op::dot_general, {{{2, 3, 4, 2}}, {{4, 2, 2, 3}}}, dot({0}, {1}, {1, 2}, {3, 0})});
  cases.push_back({Op::dot_general, {{{3}}, {{2}}}, dot({}, {}, {}, {})});
  struct Convolution {
    Shape x, w, y;
    Attributes attributes;
  };
  const std::vector<Convolution> convolutions = {
      {{2, 2, 5, 4}, {3, 2, 3, 2}, {2, 3, 5, 3}, with(window({1, 1}, {1, 0}, {1, 0}, {1, 1}), "groups", I{1})},
      {{1, 4, 7}, {4, 2, 2}, {1, 4, 3}, with(window({2}, {1}, {-1}, {2}), "groups", I{2})},
      {{2, 3, 5}, {6, 1, 3}, {2, 6, 2}, with(window({2}, {0}, {0}, {1}), "groups", I{3})}};
  for (const Convolution& c : convolutions) {
    cases.push_back({Op::conv_general, {{c.x}, {c.w}}, c.attributes});
    cases.push_back({Op::conv_data_grad, {{c.y}, {c.w}}, with(c.attributes, "input_shape", c.x.extents())});
    cases.push_back({Op::conv_filter_grad, {{c.x}, {c.y}}, with(c.attributes, "filter_shape", c.w.extents())});
  }
  const Attributes pool = with(window({1, 2, 1}, {0, 1, 0}, {0, 0, 1}, {1, 1, 2}), "window", Dims{1, 3, 2});
  cases.push_back({Op::reduce_window_max, {{{2, 6, 4}}}, pool});
  cases.push_back({Op::reduce_window_max_grad, {{{2, 6, 4}}, {{2, 3, 3}}}, pool});
  cases.push_back({Op::reduce_window_max_grad,
                   {{{2, 4}, -4, -2}, {{2, 3}}},
                   with(window({1, 2}, {0, 3}, {0, 0}, {1, 1}), "window", Dims{1, 2})});  // all padding, then half
  cases.push_back({Op::reduce_window_sum, {{{2, 6, 4}}}, pool});
  cases.push_back({Op::reduce_window_sum_grad, {{{2, 3, 3}}}, with(pool, "input_shape", Dims{2, 6, 4})});
}

void composites(Cases& cases) {
  for (const I axis : {0, 1}) {
    cases.push_back({Op::softmax, {{{3, 4}}}, {{"axis", axis}}});
    cases.push_back({Op::log_softmax, {{{3, 4}}}, {{"axis", axis}}});
  }
  for (const double smoothing : {0.0, 0.2}) {
    cases.push_back({Op::cross_entropy,
                     {{{4, 3}}, indices({4}, {0, 2, -1, 1})},
                     {{"axis", I{1}}, {"ignore_index", I{-1}}, {"label_smoothing", smoothing}}});
    cases.push_back({Op::cross_entropy,
                     {{{2, 3, 2}}, fixed(Tensor::from<std::uint8_t>({2, 2}, {0, 1, 2, 1}))},
                     {{"axis", I{1}}, {"ignore_index", I{-100}}, {"label_smoothing", smoothing}}});
  }
  cases.push_back({Op::moments, {{{3, 4, 2}}}, {{"dims", Dims{0, 2}}}});
  for (const I groups : {1, 2}) {
    const Attributes norm = {{"axis", I{1}}, {"epsilon", 0.1}, {"groups", groups}};
    cases.push_back({Op::batch_norm, {{{4, 3, 2}}, {{3}}, {{3}}}, norm});
    cases.push_back(
        {Op::batch_norm_grad, {{{4, 3, 2}}, {{4, 3, 2}}, {{3}}, {{groups, 3}}, {{groups, 3}, 0.5, 2}}, norm});
  }
  cases.push_back({Op::layer_norm, {{{3, 4}}, {{4}}, {{4}}}, {{"axis", I{1}}, {"epsilon", 0.1}}});
  cases.push_back({Op::layer_norm, {{{2, 3, 2}}, {{3, 2}}, {{3, 2}}}, {{"axis", I{1}}, {"epsilon", 0.1}}});
  // The inference forms.
  cases.push_back({Op::batch_norm,
                   {{{2, 3, 2}}, {{3}}, {{3}}, {{3}}, {{3}, 0.5, 2}},
                   {{"axis", I{1}}, {"epsilon", 0.1}, {"momentum", 0.9}, {"groups", I{0}}}});
  cases.push_back({Op::dropout, {{{4, 5}}}, {{"ratio", 0.4}, {"id", I{2}}, {"sample_dim", I{0}}}});
  cases.push_back({Op::dropout,
                   {{{4, 5}}, indices({}, {11}), indices({}, {3}), indices({}, {0})},
                   {{"ratio", 0.4}, {"id", I{2}}, {"sample_dim", I{0}}}});
}

Attributes attention_of(double scale, bool causal, I offset, bool zero_masked) {
  return {{"scale", scale}, {"causal", I{causal}}, {"offset", offset}, {"zero_masked", I{zero_masked}}};
}

void attention(Cases& cases) {
  const GradientOperand q{{2, 3, 4, 2}}, k{{2, 5, 2, 2}}, v{{2, 5, 2, 3}}, y{{2, 3, 4, 3}}, most{{2, 4, 3}, 1, 3},
      share{{2, 4, 3}, 0.2, 1};
  const GradientOperand kept = fixed(Tensor::from<bool>({1, 1, 3, 5}, {true, false, true, false, false,  //
                                                                       false, true, true, true, false,   //
                                                                       true, true, true, true, true}));
  const GradientOperand nothing = fixed(Tensor::from<bool>({2, 1, 1, 5}, {true, false, true, false, true,  //
                                                                          false, false, false, false, false}));
  cases.push_back({Op::attention, {q, k, v}, attention_of(0.7, false, 0, false)});
  cases.push_back({Op::attention, {q, k, v}, attention_of(0.7, true, 2, false)});
  cases.push_back({Op::attention, {q, k, v, {{2, 4, 1, 5}}}, attention_of(-0.5, false, 0, true)});
  cases.push_back({Op::attention, {q, k, v, kept}, attention_of(0.7, true, 0, false)});
  cases.push_back({Op::attention_grad, {y, q, k, v, y, most, share}, attention_of(0.7, true, 1, false)});
  cases.push_back(
      {Op::attention_grad, {y, q, k, v, y, most, share, {{1, 1, 3, 5}}}, attention_of(0.7, false, 0, false)});
  cases.push_back({Op::attention_grad, {y, q, k, v, y, most, share, nothing}, attention_of(0.7, false, 0, true)});
}

}  // namespace

std::vector<GradientCase> gradient_cases() {
  Cases cases;
  unary(cases);
  elementwise(cases);
  movement(cases);
  indexing(cases);
  reductions(cases);
  contractions(cases);
  composites(cases);
  attention(cases);
  return cases;
}

}  // namespace weft
