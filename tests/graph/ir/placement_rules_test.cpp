// Every placement rule: the operator applied to shares that lie as the rule says, put together again as it says, is the
// operator applied to the whole.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "graph/ir/interpret.hpp"
#include "graph/ir/op_rules.hpp"
#include "tests/graph/ir/gradient_cases.hpp"

namespace weft {
namespace {

using Kind = AxisPlacement::Kind;
constexpr int kRanks = 3;

/// Whole numbers, and a few equal ones: sums of shares are exact.
Tensor filled(const GradientOperand& operand, std::mt19937& random) {
  if (!operand.fixed.empty()) return operand.fixed[0];
  Tensor t(DType::f64, operand.shape);
  for (double& x : t.mutable_values<double>())
    x = operand.low + (operand.high - operand.low) * static_cast<double>(random() % 16 + 1) / 17;
  return t;
}

Tensor picked(const Tensor& t, int dimension, const std::vector<std::int64_t>& indices) {
  const auto count = static_cast<std::int64_t>(indices.size());
  const Node node{Op::gather, {}, {{"axis", std::int64_t{dimension}}}, {}, {}, std::nullopt, {}};
  return interpret_node(node, {{t.dtype(), t.shape().with(dimension, count)}},
                        {t, Tensor::from<std::int64_t>({count}, indices)})[0];
}

/// The indices of each rank's part, rank by rank.
std::vector<std::vector<std::int64_t>> indices_of(const AxisPlacement& p) {
  std::vector<std::vector<std::int64_t>> result(kRanks);
  std::int64_t next = 0;
  for (std::int64_t b = 0; b < p.blocks; ++b)
    for (std::size_t r = 0; r < kRanks; ++r)
      for (std::int64_t i = 0; i < p.extents[r]; ++i) result[r].push_back(next++);
  return result;
}

Tensor apply(Op op, Attributes attributes, const std::vector<Tensor>& operands) {
  const Node node{op, {}, std::move(attributes), {}, {}, std::nullopt, {}};
  std::vector<TensorType> types;
  for (const Tensor& t : operands) types.push_back({t.dtype(), t.shape()});
  return interpret_node(node, rules_of(op).infer(node, types), operands)[0];
}

/// What each rank holds of `t`.
std::vector<Tensor> shares(const Tensor& t, const AxisPlacement& p, std::mt19937& random) {
  std::vector<Tensor> result(kRanks, t);
  if (p.kind == Kind::split) {
    for (std::size_t r = 0; r < kRanks; ++r) result[r] = picked(t, p.dimension, indices_of(p)[r]);
  } else if (p.kind == Kind::partial) {
    for (std::size_t r = 1; r < kRanks; ++r) {
      Tensor noise(t.dtype(), t.shape());
      if (t.dtype() == DType::f64)
        for (double& x : noise.mutable_values<double>()) x = static_cast<double>(random() % 9) - 4;
      result[0] = apply(Op::sub, {}, {result[0], noise});
      result[r] = noise;
    }
  }
  return result;
}

Tensor put_together(const std::vector<Tensor>& parts, const AxisPlacement& p) {
  if (p.kind == Kind::split) {
    std::vector<std::int64_t> order, inverse;
    for (const auto& rank : indices_of(p)) order.insert(order.end(), rank.begin(), rank.end());
    inverse.resize(order.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      inverse[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
    return picked(apply(Op::concat, {{"axis", std::int64_t{p.dimension}}}, parts), p.dimension, inverse);
  }
  if (p.kind == Kind::partial) return apply(Op::add, {}, {apply(Op::add, {}, {parts[0], parts[1]}), parts[2]});
  for (const Tensor& t : parts) EXPECT_TRUE(t.identical(parts[0])) << "a whole value differs between ranks";
  return parts[0];
}

void expect_equal(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  for (std::int64_t i = 0; i < a.elements(); ++i) {
    const double x = a.as_double(i), y = b.as_double(i);
    if (std::isnan(x) && std::isnan(y)) continue;
    ASSERT_TRUE(x == y || std::abs(x - y) <= 1e-9 * (1 + std::abs(y))) << "element " << i << ": " << x << ", not " << y;
  }
}

/// Uneven extents that add up to `count`.
Dims cut_extents(std::int64_t count, int scheme) {
  switch (scheme) {
    case 0: return split_evenly(count, kRanks);
    case 1: return {0, count, 0};
    default: return {count - count / 2, 0, count / 2};
  }
}

class CaseOnRanks {
 public:
  CaseOnRanks(const GradientCase& test, std::mt19937& random) : random_(random) {
    node_.op = test.op;
    node_.attributes = test.attributes;
    for (const GradientOperand& operand : test.operands) {
      whole_.push_back(filled(operand, random));
      types_.push_back({whole_.back().dtype(), whole_.back().shape()});
    }
    result_types_ = rules_of(test.op).infer(node_, types_);
    expected_ = interpret_node(node_, result_types_, whole_);
  }

  /// Every way to give every operand whole, as shares of a sum, or cut along a dimension. Returns how many ways there
  /// are for the operands to lie.
  std::size_t check_all() {
    for (int scheme = 0; scheme < 3; ++scheme) {
      std::vector<AxisPlacement> given(whole_.size());
      check_from(0, scheme, given);
    }
    return seen_.size();
  }

 private:
  void check_from(std::size_t i, int scheme, std::vector<AxisPlacement>& given) {
    if (i == whole_.size()) return check(given);
    std::vector<AxisPlacement> choices(1);
    if (types_[i].dtype == DType::f64) choices.push_back({Kind::partial, 0, {}});
    for (int d = 0; d < types_[i].shape.rank(); ++d) {
      const std::int64_t extent = types_[i].shape[d];
      choices.push_back({Kind::split, d, cut_extents(extent, scheme)});
      if (extent > 2 && extent % 2 == 0) choices.push_back({Kind::split, d, cut_extents(extent / 2, scheme), 2});
    }
    for (const AxisPlacement& choice : choices) {
      given[i] = choice;
      check_from(i + 1, scheme, given);
    }
    given[i] = {};
  }

  PlacementAnswer ask(const std::vector<AxisPlacement>& given, int coordinate) const {
    return rules_of(node_.op).placement(node_, types_, result_types_, given, coordinate);
  }

  /// The rule is asked again with what it wants, as partition does once operands are moved there.
  void check(const std::vector<AxisPlacement>& given) {
    const std::vector<AxisPlacement> wanted = ask(given, 0).operands;
    ASSERT_EQ(wanted.size(), whole_.size());
    const bool nothing = std::all_of(wanted.begin(), wanted.end(), [](auto& p) { return p.kind == Kind::replicated; });
    if (nothing || !seen_.insert(Placement{wanted}.str()).second) return;
    SCOPED_TRACE(
        fmt::format("{}{} of operands {}", name_of(node_.op), node_.attributes.str(), Placement{wanted}.str()));
    std::vector<std::vector<Tensor>> operands(kRanks), results(expected_.size());
    for (std::size_t i = 0; i < whole_.size(); ++i) {
      const std::vector<Tensor> held = shares(whole_[i], wanted[i], random_);
      for (std::size_t r = 0; r < kRanks; ++r) operands[r].push_back(held[r]);
    }
    const std::vector<AxisPlacement> lie = ask(wanted, 0).results;
    for (int r = 0; r < kRanks; ++r) {
      const PlacementAnswer answer = ask(wanted, r);
      EXPECT_EQ(answer.operands, wanted) << "wants what it did not ask for";
      EXPECT_EQ(answer.results, lie) << "ranks disagree";
      run_locally(answer.local_attributes, operands[static_cast<std::size_t>(r)], results);
    }
    for (std::size_t i = 0; i < results.size(); ++i) expect_equal(put_together(results[i], lie[i]), expected_[i]);
  }

  void run_locally(const Attributes& attributes, const std::vector<Tensor>& operands,
                   std::vector<std::vector<Tensor>>& results) const {
    Node local = node_;
    local.attributes = attributes;
    std::vector<TensorType> types;
    for (const Tensor& t : operands) types.push_back({t.dtype(), t.shape()});
    const std::vector<Tensor> made = interpret_node(local, rules_of(local.op).infer(local, types), operands);
    for (std::size_t i = 0; i < made.size(); ++i) results[i].push_back(made[i]);
  }

  std::mt19937& random_;
  Node node_;
  std::vector<Tensor> whole_, expected_;
  std::vector<TensorType> types_, result_types_;
  std::set<std::string> seen_;
};

using I = std::int64_t;

/// Operators that have a placement and no gradient, and shapes that rules distinguish.
std::vector<GradientCase> more_cases() {
  std::vector<GradientCase> cases;
  const GradientOperand flags{{2, 3}, 0, 0, {Tensor::from<bool>({2, 3}, {true, false, true, true, false, false})}};
  const GradientOperand counts{{2, 3}, 0, 0, {Tensor::from<I>({2, 3}, {3, -1, 2, 0, 5, 2})}};
  for (const Op op : {Op::equal, Op::not_equal, Op::less, Op::less_equal, Op::greater, Op::greater_equal})
    cases.push_back({op, {{{2, 3}}, {{2, 3}}}});
  for (const Op op : {Op::logical_and, Op::logical_or, Op::logical_xor}) cases.push_back({op, {flags, flags}});
  for (const Op op : {Op::bit_and, Op::bit_or, Op::bit_xor, Op::shift_left, Op::shift_right})
    cases.push_back({op, {counts, counts}});
  cases.push_back({Op::logical_not, {flags}});
  cases.push_back({Op::bit_not, {counts}});
  for (const Op op : {Op::is_nan, Op::is_inf, Op::stop_gradient}) cases.push_back({op, {{{2, 3}}}});
  for (const DType type : {DType::f32, DType::i32, DType::boolean})
    cases.push_back({Op::cast, {counts}, {{"dtype", type}}});
  for (const Op op : {Op::argmax, Op::argmin})
    for (const I axis : {0, 1}) cases.push_back({op, {{{3, 4, 2}}}, {{"axis", axis}, {"last", I{0}}}});
  cases.push_back({Op::gather_elements,
                   {{{3, 4}}, {{3, 2}, 0, 0, {Tensor::from<I>({3, 2}, {0, 1, 3, 3, 2, 1})}}},
                   {{"axis", I{1}}}});
  const Shape shapes[] = {{24}, {4, 6}, {2, 12}, {6, 4}, {2, 2, 6}, {4, 1, 6}, {1, 24}, {2, 3, 4}, {24, 1}, {4, 3, 2}};
  for (const Shape& from : shapes)
    for (const Shape& to : shapes) cases.push_back({Op::reshape, {{from}}, {{"shape", to.extents()}}});
  const auto slice = [&](Dims start, Dims limit) {
    cases.push_back({Op::slice, {{{4, 6}}}, {{"start", start}, {"limit", limit}, {"stride", Dims{1, 1}}}});
  };
  slice({0, 0}, {4, 3});
  slice({0, 3}, {4, 6});
  slice({2, 0}, {4, 6});
  slice({1, 0}, {3, 6});
  for (const Shape& from : {Shape{0, 3}, Shape{3, 0}})
    cases.push_back({Op::reshape, {{from}}, {{"shape", Dims{0, 6}}}});
  return cases;
}

TEST(PlacementRules, OperatorsOnSharesComputeSharesOfTheWhole) {
  std::mt19937 random(3);
  std::vector<GradientCase> cases = gradient_cases();
  for (GradientCase& more : more_cases()) cases.push_back(std::move(more));
  std::set<Op> tested;
  std::size_t checked = 0;
  for (const GradientCase& test : cases) {
    if (rules_of(test.op).placement == nullptr) continue;
    tested.insert(test.op);
    checked += CaseOnRanks(test, random).check_all();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(checked, 400u);
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (class_of(op) == OpClass::collective) continue;  // tests/graph/partition interprets them, over meshes
    EXPECT_TRUE(rules_of(op).placement == nullptr || tested.contains(op)) << name_of(op) << " has no case";
  }
}

}  // namespace
}  // namespace weft
