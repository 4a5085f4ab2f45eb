// Update formulas. `d` is the gradient with L2 decay added, unless a formula decouples it.
#include "graph/training/optimizer.hpp"

#include <fmt/format.h>

#include <cmath>
#include <functional>

#include "graph/training/name_patterns.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// One parameter under update: arithmetic in its type, and its optimiser states.
class Update {
 public:
  Update(GraphBuilder& builder, const OptimizerSpec& spec, std::string name, ValueId value, ValueId grad,
         const UpdateClock& clock, std::vector<AddedState>& added)
      : b(builder), s(spec), p(value), g(grad), step(clock.step), name_(std::move(name)), added_(added) {
    decay = spec.weight_decay;
    double scale = 1;
    for (const ParameterGroup& group : spec.groups) {
      if (!matches(group.pattern, name_)) continue;
      scale = group.lr_scale.value_or(1);
      decay = group.weight_decay.value_or(decay);
      break;
    }
    rate64 = scale == 1 ? clock.learning_rate : b.mul(clock.learning_rate, b.full(DType::f64, {}, scale));
    rate = b.cast(rate64, b.dtype(p));
  }

  ValueId number(double v) const { return b.full(b.dtype(p), {}, v); }
  ValueId number64(double v) const { return b.full(DType::f64, {}, v); }
  ValueId times(ValueId x, double v) const { return v == 1 ? x : b.mul(x, number(v)); }
  /// keep * x + (1 - keep) * y.
  ValueId average(double keep, ValueId x, ValueId y) const { return b.add(times(x, keep), times(y, 1 - keep)); }
  ValueId square(ValueId x) const { return b.mul(x, x); }
  ValueId sqrt(ValueId x) const { return b.unary(Op::sqrt, x); }
  /// 1 - beta^step, exact to f64, as an f64 scalar.
  ValueId bias_correction(double beta) const { return b.sub(number64(1), b.binary(Op::pow, number64(beta), step)); }
  ValueId in_type(ValueId x) const { return b.cast(x, b.dtype(p)); }
  ValueId decayed_gradient() const { return decay == 0 ? g : b.add(g, times(p, decay)); }
  ValueId norm(ValueId x) const {
    Dims dims;
    for (int i = 0; i < b.shape(x).rank(); ++i) dims.push_back(i);
    return sqrt(b.reduce(Op::reduce_sum, square(x), dims));
  }
  ValueId positive(ValueId x) const { return b.binary(Op::greater, x, b.like(x, 0)); }

  /// The optimiser's state `slot` for this parameter, of its type; starts as `fill`.
  ValueId state(const std::string& slot, double fill = 0) {
    const TensorType type = b.type(p);
    added_.push_back({slot_name(slot),
                      fill == 0 ? InitialValue::zeros(type.dtype, type.shape)
                                : InitialValue(Tensor::full(type.dtype, type.shape, fill)),
                      StateScope::lasting});
    return b.input(slot_name(slot), InputRole::state, type);
  }
  void set(const std::string& slot, ValueId next) { b.output(slot_name(slot), OutputRole::state, next); }
  void set_parameter(ValueId next) { b.output(name_, OutputRole::state, next); }

  GraphBuilder& b;
  const OptimizerSpec& s;
  ValueId p, g, step, rate = kNone, rate64 = kNone;
  double decay = 0;

 private:
  std::string slot_name(const std::string& slot) const { return "optimizer/" + slot + "/" + name_; }
  std::string name_;
  std::vector<AddedState>& added_;
};

void sgd(Update& u) {
  ValueId d = u.decayed_gradient();
  if (u.s.momentum != 0) {
    const ValueId old = u.state("momentum");
    ValueId next = u.b.add(u.times(old, u.s.momentum), u.times(d, 1 - u.s.dampening));
    if (u.s.dampening != 0)  // the first buffer is the gradient, undamped
      next = u.b.select(u.b.binary(Op::less_equal, u.step, u.number64(1)), d, next);
    u.set("momentum", next);
    d = u.s.nesterov ? u.b.add(d, u.times(next, u.s.momentum)) : next;
  }
  u.set_parameter(u.b.sub(u.p, u.b.mul(d, u.rate)));
}

struct Moments {
  ValueId first = kNone, second = kNone;
};

Moments adam_moments(Update& u, ValueId d) {
  const Moments m{u.average(u.s.beta1, u.state("exp_avg"), d),
                  u.average(u.s.beta2, u.state("exp_avg_sq"), u.square(d))};
  u.set("exp_avg", m.first);
  u.set("exp_avg_sq", m.second);
  return m;
}

/// adam with L2 decay in the gradient; adamw with decay of the parameter itself.
void adam(Update& u, bool decoupled) {
  ValueId p = u.p;
  if (decoupled && u.decay != 0)
    p = u.b.mul(p, u.in_type(u.b.sub(u.number64(1), u.b.mul(u.rate64, u.number64(u.decay)))));
  const Moments m = adam_moments(u, decoupled ? u.g : u.decayed_gradient());
  const ValueId size = u.in_type(u.b.div(u.rate64, u.bias_correction(u.s.beta1)));
  const ValueId correction = u.in_type(u.sqrt(u.bias_correction(u.s.beta2)));
  const ValueId denominator = u.b.add(u.b.div(u.sqrt(m.second), correction), u.number(u.s.eps));
  u.set_parameter(u.b.sub(p, u.b.mul(size, u.b.div(m.first, denominator))));
}

void rmsprop(Update& u) {
  const ValueId d = u.decayed_gradient();
  const ValueId squares = u.average(u.s.alpha, u.state("square_avg"), u.square(d));
  u.set("square_avg", squares);
  ValueId spread = squares;
  if (u.s.centered) {
    const ValueId mean = u.average(u.s.alpha, u.state("grad_avg"), d);
    u.set("grad_avg", mean);
    spread = u.b.sub(squares, u.square(mean));
  }
  ValueId move = u.b.div(d, u.b.add(u.sqrt(spread), u.number(u.s.eps)));
  if (u.s.momentum > 0) {
    move = u.b.add(u.times(u.state("momentum"), u.s.momentum), move);
    u.set("momentum", move);
  }
  u.set_parameter(u.b.sub(u.p, u.b.mul(move, u.rate)));
}

void adagrad(Update& u) {
  const ValueId d = u.decayed_gradient();
  const ValueId sum = u.b.add(u.state("sum", u.s.initial_accumulator), u.square(d));
  u.set("sum", sum);
  ValueId rate = u.rate;
  if (u.s.lr_decay != 0) {
    const ValueId done = u.b.sub(u.step, u.number64(1));
    const ValueId slower = u.b.add(u.number64(1), u.b.mul(done, u.number64(u.s.lr_decay)));
    rate = u.in_type(u.b.div(u.rate64, slower));
  }
  const ValueId move = u.b.div(d, u.b.add(u.sqrt(sum), u.number(u.s.eps)));
  u.set_parameter(u.b.sub(u.p, u.b.mul(move, rate)));
}

/// numerator / denominator where both norms are above zero, else 1.
ValueId trust_ratio(Update& u, ValueId value_norm, ValueId update_norm, ValueId numerator, ValueId denominator) {
  const ValueId usable = u.b.binary(Op::logical_and, u.positive(value_norm), u.positive(update_norm));
  const ValueId one = u.number(1);
  return u.b.select(usable, u.b.div(numerator, u.b.select(usable, denominator, one)), one);
}

void lamb(Update& u) {
  const Moments m = adam_moments(u, u.g);
  const ValueId first = u.b.div(m.first, u.in_type(u.bias_correction(u.s.beta1)));
  const ValueId second = u.b.div(m.second, u.in_type(u.bias_correction(u.s.beta2)));
  ValueId move = u.b.div(first, u.b.add(u.sqrt(second), u.number(u.s.eps)));
  if (u.decay != 0) move = u.b.add(move, u.times(u.p, u.decay));
  const ValueId value_norm = u.norm(u.p), move_norm = u.norm(move);
  const ValueId ratio = trust_ratio(u, value_norm, move_norm, value_norm, move_norm);
  u.set_parameter(u.b.sub(u.p, u.b.mul(move, u.b.mul(ratio, u.rate))));
}

void lars(Update& u) {
  const ValueId value_norm = u.norm(u.p), grad_norm = u.norm(u.g);
  const ValueId ratio = trust_ratio(u, value_norm, grad_norm, u.times(value_norm, u.s.trust_coefficient),
                                    u.decay == 0 ? grad_norm : u.b.add(grad_norm, u.times(value_norm, u.decay)));
  ValueId move = u.b.mul(u.decayed_gradient(), u.b.mul(ratio, u.rate));
  if (u.s.momentum != 0) {
    move = u.b.add(u.times(u.state("momentum"), u.s.momentum), move);
    u.set("momentum", move);
  }
  u.set_parameter(u.b.sub(u.p, move));
}

void check_range(std::string_view key, double value, double low, bool low_open, double below) {
  const bool low_ok = low_open ? value > low : value >= low;
  if (std::isfinite(value) && low_ok && value < below) return;
  throw UserError(fmt::format("optimizer.{} is {}; it must be {} {}{}", key, value, low_open ? "above" : "at least",
                              low, std::isinf(below) ? "" : fmt::format(" and below {}", below)));
}

}  // namespace

void check_optimizer(const OptimizerSpec& spec) {
  const double any = HUGE_VAL;
  const auto at_least_0 = [&](std::string_view key, double v) { check_range(key, v, 0, false, any); };
  at_least_0("lr", spec.lr);
  at_least_0("momentum", spec.momentum);
  at_least_0("weight_decay", spec.weight_decay);
  at_least_0("eps", spec.eps);
  at_least_0("lr_decay", spec.lr_decay);
  at_least_0("initial_accumulator", spec.initial_accumulator);
  at_least_0("trust_coefficient", spec.trust_coefficient);
  at_least_0("clip_norm", spec.clip_norm);
  at_least_0("clip_value", spec.clip_value);
  check_range("betas[0]", spec.beta1, 0, false, 1);
  check_range("betas[1]", spec.beta2, 0, false, 1);
  at_least_0("alpha", spec.alpha);
  if (!std::isfinite(spec.dampening)) throw UserError(fmt::format("optimizer.dampening is {}", spec.dampening));
  if (spec.name == "sgd" && spec.nesterov && (spec.momentum <= 0 || spec.dampening != 0))
    throw UserError("optimizer: nesterov needs momentum above 0 and dampening 0");
  for (const ParameterGroup& g : spec.groups) {
    at_least_0("groups.lr_scale", g.lr_scale.value_or(1));
    at_least_0("groups.weight_decay", g.weight_decay.value_or(0));
  }
  for (const char* name : {"sgd", "adam", "adamw", "rmsprop", "adagrad", "lamb", "lars"})
    if (spec.name == name) return;
  throw UserError(fmt::format(
      "optimizer.name '{}' is unknown; allowed are sgd, adam, adamw, rmsprop, adagrad, lamb, lars", spec.name));
}

void append_update(GraphBuilder& builder, const OptimizerSpec& spec, const std::string& name, ValueId value,
                   ValueId gradient, const UpdateClock& clock, std::vector<AddedState>& added) {
  const ScopedName scope(builder, "optimizer/" + name);
  Update u(builder, spec, name, value, gradient, clock, added);
  if (spec.name == "sgd") return sgd(u);
  if (spec.name == "adam") return adam(u, false);
  if (spec.name == "adamw") return adam(u, true);
  if (spec.name == "rmsprop") return rmsprop(u);
  if (spec.name == "adagrad") return adagrad(u);
  if (spec.name == "lamb") return lamb(u);
  if (spec.name == "lars") return lars(u);
  check_optimizer(spec);
}

}  // namespace weft
