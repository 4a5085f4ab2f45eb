// A body's one operator, its operands found among arguments and scalar constants.
#include "kernels/cpu/reference.hpp"

#include <fmt/format.h>

#include <cstring>

#include "kernels/cpu/reference_routine.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

using reference::Problem;
using reference::Routine;

/// Where an operand lies: an argument of the kernel, or a constant inside the body.
struct Binding {
  std::size_t argument = 0;
  std::optional<Tensor> constant;
};

struct Bound {
  std::string refusal;
  Problem problem;
  std::vector<Binding> operands;
  std::vector<std::size_t> results;  ///< by body output: which result of the operator
};

Bound refuse(std::string why) {
  Bound bound;
  bound.refusal = std::move(why);
  return bound;
}

/// The only node that is not a constant operand of another; nullptr when there are several.
const Node* only_operator(const Graph& body) {
  const Node* found = nullptr;
  for (const Node& node : body.nodes()) {
    if (node.op == Op::constant && body.nodes().size() > 1) continue;
    if (found != nullptr) return nullptr;
    found = &node;
  }
  return found;
}

Bound bind(const Graph& body, const Context& context) {
  if (!is_row_major(body)) return refuse("all operands must be row-major");
  const Node* node = only_operator(body);
  if (node == nullptr) return refuse("not exactly one operator");
  Bound bound;
  bound.problem = {node->op, node->attributes, {}, {}, context};
  for (const ValueId v : node->inputs) {
    bound.problem.operands.push_back(body.type(v));
    Binding binding;
    if (const Node* producer = body.producer(v); producer != nullptr) {
      binding.constant = producer->literal;
    } else {
      while (body.inputs().at(binding.argument).value != v) ++binding.argument;
    }
    bound.operands.push_back(std::move(binding));
  }
  for (const ValueId v : node->outputs) bound.problem.results.push_back(body.type(v));
  for (const GraphOutput& o : body.outputs()) {
    if (body.producer(o.value) != node) return refuse("a result that the operator does not make");
    bound.results.push_back(static_cast<std::size_t>(body.value(o.value).result));
  }
  if (bound.results.empty()) return refuse("no result");
  return bound;
}

std::unique_ptr<Routine> make_routine(const Problem& problem) {
  using namespace reference;
  for (const auto make : {make_gather, make_scatter, make_scan, make_random_bits, make_reduction})
    if (std::unique_ptr<Routine> routine = make(problem)) return routine;
  return nullptr;
}

class ReferenceKernel final : public CpuKernel {
 public:
  ReferenceKernel(Bound bound, std::unique_ptr<Routine> routine, std::size_t inputs)
      : bound_(std::move(bound)), routine_(std::move(routine)), inputs_(inputs) {}

  void run(std::span<std::byte* const> arguments) const override {
    std::vector<const std::byte*> operands;
    for (const Binding& b : bound_.operands)
      operands.push_back(b.constant ? b.constant->data() : arguments[b.argument]);
    std::vector<std::byte*> results(bound_.problem.results.size(), nullptr);
    for (std::size_t o = 0; o < bound_.results.size(); ++o) results[bound_.results[o]] = arguments[inputs_ + o];
    const std::size_t scratch = inputs_ + bound_.results.size();
    routine_->run({operands, results, scratch < arguments.size() ? arguments[scratch] : nullptr});
    for (std::size_t o = 0; o < bound_.results.size(); ++o) {  // a result may be asked for twice
      const std::size_t r = bound_.results[o];
      const TensorType& type = bound_.problem.results[r];
      if (arguments[inputs_ + o] != results[r])
        std::memcpy(arguments[inputs_ + o], results[r],
                    static_cast<std::size_t>(type.shape.elements()) * size_of(type.dtype));
    }
  }

 private:
  Bound bound_;
  std::unique_ptr<Routine> routine_;
  std::size_t inputs_;
};

/// The kernel's flag holds for all operands alike: none but the one that the routine can write over may look like the
/// result.
bool overwrites(const Bound& bound, const Routine& routine) {
  const int below = routine.operand_below();
  if (below < 0 || bound.problem.results.size() != 1) return false;
  const auto alike = [&](const TensorType& type) {
    return type.shape.elements() == bound.problem.results[0].shape.elements() &&
           size_of(type.dtype) == size_of(bound.problem.results[0].dtype);
  };
  for (std::size_t i = 0; i < bound.operands.size(); ++i)
    if (static_cast<int>(i) != below && alike(bound.problem.operands[i])) return false;
  return !bound.operands[static_cast<std::size_t>(below)].constant;
}

}  // namespace

Claim claim_reference(const Graph& body, const Context& context) {
  const Bound bound = bind(body, context);
  if (!bound.refusal.empty()) return Claim::refuse(bound.refusal);
  const std::unique_ptr<Routine> routine = make_routine(bound.problem);
  if (!routine) return Claim::refuse(fmt::format("{} is not supported", name_of(bound.problem.op)));
  KernelSpec spec = row_major_spec(body, "reference");
  spec.scratch_bytes = routine->scratch_bytes();
  spec.overwrites_operands = overwrites(bound, *routine);
  return Claim::take(std::move(spec), 0.05);
}

std::unique_ptr<CpuKernel> compile_reference(const KernelSpec& spec, const Context& context) {
  Bound bound = bind(spec.body, context);
  check_internal(bound.refusal.empty(), "reference kernel compiled without a claim: " + bound.refusal);
  std::unique_ptr<Routine> routine = make_routine(bound.problem);
  check_internal(routine != nullptr, "reference kernel compiled without a claim");
  return std::make_unique<ReferenceKernel>(std::move(bound), std::move(routine), spec.body.inputs().size());
}

}  // namespace weft::cpu
