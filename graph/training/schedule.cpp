// Schedules in f64 scalars: f32 would round 1e-4-sized learning rates late in long runs.
#include "graph/training/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "weft/error.hpp"

namespace weft {
namespace {

/// Arithmetic on f64 scalars of a graph.
struct Scalars {
  GraphBuilder& b;
  ValueId number(double v) const { return b.full(DType::f64, {}, v); }
  ValueId times(ValueId x, double v) const { return b.mul(x, number(v)); }
  ValueId plus(ValueId x, double v) const { return b.add(x, number(v)); }
  ValueId power(double base, ValueId exponent) const { return b.binary(Op::pow, number(base), exponent); }
};

void check_schedule(const ScheduleSpec& s) {
  if (!std::isfinite(s.warmup) || s.warmup < 0)
    throw UserError(
        fmt::format("schedule.warmup is {}; it is a fraction of the run below 1, or a number of steps", s.warmup));
  if (s.step_size < 0) throw UserError(fmt::format("schedule.step_size is {}; it must be at least 1", s.step_size));
  if (s.name == "step" && s.step_size == 0)
    throw UserError("schedule 'step' needs step_size: the number of optimiser steps between two decays");
  if (!std::isfinite(s.final_factor) || s.final_factor < 0)
    throw UserError(fmt::format("schedule.final_factor is {}; it must be at least 0", s.final_factor));
  if (!std::isfinite(s.gamma) || s.gamma <= 0)
    throw UserError(fmt::format("schedule.gamma is {}; it must be above 0", s.gamma));
  if (!std::isfinite(s.power) || s.power <= 0)
    throw UserError(fmt::format("schedule.power is {}; it must be above 0", s.power));
}

/// lr at the k-th step after warm-up over the base lr; `progress` is k / T held at 1.
ValueId decay_factor(const Scalars& m, const ScheduleSpec& s, const RunLength& run, ValueId k, ValueId progress) {
  const double f = s.final_factor;
  if (s.name == "constant") return m.number(1);
  if (s.name == "linear") return m.plus(m.times(progress, f - 1), 1);
  if (s.name == "cosine") {
    const ValueId wave = m.b.unary(Op::cos, m.times(progress, std::numbers::pi));
    return m.plus(m.times(m.plus(wave, 1), (1 - f) / 2), f);
  }
  if (s.name == "step")
    return m.power(s.gamma, m.b.unary(Op::floor, m.b.div(k, m.number(static_cast<double>(s.step_size)))));
  if (s.name == "exponential") {
    const std::int64_t size = s.step_size > 0 ? s.step_size : std::max<std::int64_t>(run.steps_per_epoch, 1);
    return m.power(s.gamma, m.b.div(k, m.number(static_cast<double>(size))));
  }
  if (s.name == "polynomial") {
    const ValueId left = m.b.sub(m.number(1), progress);
    return m.plus(m.times(m.b.binary(Op::pow, left, m.number(s.power)), 1 - f), f);
  }
  throw UserError(fmt::format(
      "schedule.name '{}' is unknown; allowed are constant, linear, cosine, step, exponential, polynomial", s.name));
}

}  // namespace

std::int64_t warmup_steps(const ScheduleSpec& schedule, const RunLength& run) {
  const double steps = schedule.warmup < 1 ? schedule.warmup * static_cast<double>(run.total_steps) : schedule.warmup;
  return std::llround(std::min(steps, 9e15));
}

ValueId learning_rate(GraphBuilder& builder, double lr, const ScheduleSpec& schedule, const RunLength& run,
                      ValueId step) {
  check_schedule(schedule);
  const Scalars m{builder};
  const std::int64_t warmup = warmup_steps(schedule, run);
  const double length = static_cast<double>(std::max<std::int64_t>(run.total_steps - warmup, 1));
  const ValueId done = builder.cast(step, DType::f64);
  const ValueId k = builder.binary(Op::maximum, m.plus(done, -static_cast<double>(warmup)), m.number(0));
  const ValueId progress = builder.binary(Op::minimum, builder.div(k, m.number(length)), m.number(1));
  ValueId factor = decay_factor(m, schedule, run, k, progress);
  if (warmup > 0) {
    const ValueId rising = builder.div(m.plus(done, 1), m.number(static_cast<double>(warmup)));
    factor = builder.select(builder.binary(Op::less, done, m.number(static_cast<double>(warmup))), rising, factor);
  }
  return m.times(factor, lr);
}

}  // namespace weft
