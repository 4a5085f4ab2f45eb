// Control flow: nodes whose bodies are graphs.
#include <fmt/format.h>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

/// The body must take exactly these operands, from operand `first` on.
void check_takes(const Check& check, const Graph& body, const char* which, std::span<const TensorType> operands) {
  if (body.inputs().size() != operands.size())
    check.fail(fmt::format("the {} takes {} values, not {}", which, body.inputs().size(), operands.size()));
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (body.type(body.inputs()[i].value) != operands[i])
      check.fail(fmt::format("input {} of the {} is {}, its operand {}", i, which,
                             body.type(body.inputs()[i].value).str(), operands[i].str()));
}

std::vector<TensorType> output_types(const Graph& body) {
  std::vector<TensorType> types;
  for (const GraphOutput& o : body.outputs()) types.push_back(body.type(o.value));
  return types;
}

std::vector<TensorType> infer_if(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.attributes({});
  check.that(!operands.empty(), "takes a condition");
  check.scalar(0, DType::boolean);
  check.that(node.bodies.size() == 2, "has two bodies: then and else");
  check_takes(check, node.bodies[0], "then body", operands.subspan(1));
  check_takes(check, node.bodies[1], "else body", operands.subspan(1));
  const std::vector<TensorType> results = output_types(node.bodies[0]);
  check.that(results == output_types(node.bodies[1]), "both bodies must return values of the same types");
  return results;
}

std::vector<TensorType> infer_while(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.attributes({});
  check.that(node.bodies.size() == 2, "has two bodies: condition and body");
  check_takes(check, node.bodies[0], "condition", operands);
  check_takes(check, node.bodies[1], "body", operands);
  const std::vector<TensorType> condition = output_types(node.bodies[0]);
  check.that(condition.size() == 1 && condition[0] == TensorType{DType::boolean, Shape{}},
             "the condition must return one scalar bool");
  std::vector<TensorType> results = output_types(node.bodies[1]);
  check.that(results == std::vector<TensorType>(operands.begin(), operands.end()),
             "the body must return values of the types that it takes");
  return results;
}

/// The body with the gradients of its results as further inputs, returning the gradients of its wanted inputs.
Graph body_gradient(const Graph& body, const GradientContext& c) {
  GraphBuilder b;
  std::vector<ValueId> arguments, values, seeds, wrt;
  for (const GraphInput& input : body.inputs())
    arguments.push_back(b.input(input.name, input.role, body.type(input.value)));
  const std::vector<ValueId> results = b.inlined(body, arguments);
  for (std::size_t i = 0; i < results.size(); ++i)
    if (c.result_grads[i] != kNone) {
      values.push_back(results[i]);
      seeds.push_back(b.input(fmt::format("grad of result {}", i), InputRole::feed, b.type(results[i])));
    }
  for (std::size_t i = 0; i < arguments.size(); ++i)
    if (c.wanted[i + 1]) wrt.push_back(arguments[i]);
  const std::vector<ValueId> grads = vector_jacobian(b, values, seeds, wrt);
  for (std::size_t i = 0; i < grads.size(); ++i) b.output(fmt::format("grad {}", i), OutputRole::fetch, grads[i]);
  return std::move(b).take();
}

std::vector<ValueId> gradient_if(const GradientContext& c) {
  std::vector<ValueId> inputs = c.node.inputs;
  for (const ValueId g : c.result_grads)
    if (g != kNone) inputs.push_back(g);
  const std::vector<ValueId> results = c.builder.control(
      Op::if_, std::move(inputs), {body_gradient(c.node.bodies[0], c), body_gradient(c.node.bodies[1], c)});
  std::vector<ValueId> grads(c.node.inputs.size(), kNone);
  for (std::size_t i = 1, next = 0; i < grads.size(); ++i)
    if (c.wanted[i]) grads[i] = results[next++];
  return grads;
}

}  // namespace

std::vector<OpRules> control_rules() {
  return {
      {.op = Op::if_, .infer = infer_if, .gradient = gradient_if},
      {.op = Op::while_, .infer = infer_while},
  };
}

}  // namespace weft::ops
