// Recognition of contraction bodies.
#include "kernels/cpu/epilogue.hpp"

#include <fmt/format.h>

#include <map>

#include "weft/error.hpp"

namespace weft::cpu {
namespace {

/// A body value that is a graph input stretched along one dimension of the result.
struct Stretched {
  ValueId input = kNone;
  int dimension = -1;  ///< of the value's own shape; -1 while every extent is 1
};

class Matcher {
 public:
  Matcher(const Graph& body, Op op) : body_(body), op_(op) {}

  ContractionBody match() {
    for (const Node& node : body_.nodes()) {
      if (!result_.refusal.empty()) return result_;
      visit(node);
    }
    if (result_.root == nullptr)
      refuse(fmt::format("no {} in the body", name_of(op_)));
    else if (body_.outputs().size() != 1 || body_.outputs()[0].value != cursor_)
      refuse("the last value of the epilogue must be the only output");
    return result_;
  }

 private:
  void refuse(std::string why) {
    if (result_.refusal.empty()) result_.refusal = std::move(why);
  }

  void visit(const Node& node) {
    if (node.op == op_) {
      if (result_.root != nullptr) return refuse("two contractions in one body");
      for (const ValueId v : node.inputs)
        if (body_.producer(v) != nullptr) return refuse("an operand of the contraction is computed in the body");
      result_.root = &node;
      cursor_ = node.outputs[0];
    } else if (node.op == Op::cast) {
      convert(node);
    } else if (node.op == Op::broadcast || node.op == Op::reshape) {
      stretch(node);
    } else if (rounded_) {
      refuse("a narrow result is used in the body");
    } else if (node.op == Op::add && result_.root != nullptr && !result_.relu) {
      if (node.inputs[0] == cursor_ && node.inputs[1] != cursor_)
        addend(node.inputs[1]);
      else if (node.inputs[1] == cursor_ && node.inputs[0] != cursor_)
        addend(node.inputs[0]);
      else
        return refuse("an add that does not continue the contraction");
      cursor_ = node.outputs[0];
    } else if (node.op == Op::relu && result_.root != nullptr && node.inputs[0] == cursor_ && !result_.relu) {
      result_.relu = true;
      cursor_ = node.outputs[0];
    } else {
      refuse(fmt::format("{} is not part of a contraction epilogue", name_of(node.op)));
    }
  }

  /// A 16-bit addend made wide, or the wide result made as narrow as the operands.
  void convert(const Node& node) {
    const DType from = body_.type(node.inputs[0]).dtype, to = body_.type(node.outputs[0]).dtype;
    const bool narrows = from == DType::f32 && (to == DType::f16 || to == DType::bf16);
    const bool widens = to == DType::f32 && (from == DType::f16 || from == DType::bf16);
    if (widens && body_.producer(node.inputs[0]) == nullptr) {
      widened_[node.outputs[0]] = node.inputs[0];
    } else if (narrows && result_.root != nullptr && node.inputs[0] == cursor_ && !rounded_ &&
               to == body_.type(result_.root->inputs[0]).dtype) {
      rounded_ = true;
      cursor_ = node.outputs[0];
    } else {
      refuse("a cast that is not part of a contraction epilogue");
    }
  }

  void stretch(const Node& node) {
    const ValueId from = node.inputs[0];
    Stretched s;
    if (const auto it = stretched_.find(from); it != stretched_.end())
      s = it->second;
    else if (body_.producer(from) == nullptr && body_.type(from).shape.rank() == 1)
      s = {from, 0};
    else
      return refuse("only a vector can be broadcast in a contraction epilogue");
    const Shape& old_shape = body_.type(from).shape;
    const Shape& new_shape = body_.type(node.outputs[0]).shape;
    if (node.op == Op::broadcast) {
      const Dims& dims = node.attributes.integers("dims");
      s.dimension = static_cast<int>(dims[static_cast<std::size_t>(s.dimension)]);
      if (new_shape[s.dimension] != body_.type(s.input).shape[0]) return refuse("a bias vector of one element");
    } else {
      if (new_shape.elements() != old_shape.elements() || old_shape.elements() != body_.type(s.input).shape[0])
        return refuse("a reshape of a stretched bias");
      int found = -1;
      for (int d = 0; d < new_shape.rank(); ++d)
        if (new_shape[d] == body_.type(s.input).shape[0]) found = d;
      if (found < 0) return refuse("a reshape that splits the bias");
      s.dimension = found;
    }
    stretched_[node.outputs[0]] = s;
  }

  void addend(ValueId v) {
    if (const auto it = stretched_.find(v); it != stretched_.end()) {
      if (result_.bias != kNone || result_.residual != kNone) return refuse("the bias must come first, and once");
      if (!body_.layout(it->second.input).is_row_major()) return refuse("a bias with gaps");
      result_.bias = it->second.input;
      result_.bias_dim = it->second.dimension;
    } else if (body_.producer(v) == nullptr) {
      if (result_.residual != kNone) return refuse("two residuals");
      result_.residual = v;
    } else if (const auto wide = widened_.find(v); wide != widened_.end()) {
      if (result_.residual != kNone) return refuse("two residuals");
      result_.residual = wide->second;
    } else {
      refuse("an addend that the body computes");
    }
  }

  const Graph& body_;
  Op op_;
  ContractionBody result_;
  ValueId cursor_ = kNone;
  bool rounded_ = false;
  std::map<ValueId, Stretched> stretched_;
  std::map<ValueId, ValueId> widened_;  ///< to the narrow input
};

}  // namespace

ContractionBody match_contraction(const Graph& body, Op op) { return Matcher(body, op).match(); }

std::size_t argument_of(const Graph& body, ValueId value) {
  for (std::size_t i = 0; i < body.inputs().size(); ++i)
    if (body.inputs()[i].value == value) return i;
  for (std::size_t i = 0; i < body.outputs().size(); ++i)
    if (body.outputs()[i].value == value) return body.inputs().size() + i;
  throw InternalError("a value is not an argument of the kernel");
}

}  // namespace weft::cpu
