// RNN, GRU and LSTM, unrolled over time. Equations and gate orders are those of the ONNX operator reference.
#include <fmt/format.h>

#include <map>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

constexpr std::int64_t kLongestSequence = 4096;

/// Rows [from, to) of dimension `axis`.
ValueId cut(GraphBuilder& b, ValueId x, int axis, std::int64_t from, std::int64_t to) {
  if (axis < 0 || axis >= b.shape(x).rank())
    OpContext::unsupported(fmt::format("an operand of shape {} has too few dimensions", b.shape(x).str()));
  Dims start(static_cast<std::size_t>(b.shape(x).rank()), 0), limit = b.shape(x).extents();
  start[static_cast<std::size_t>(axis)] = from;
  limit[static_cast<std::size_t>(axis)] = to;
  return b.slice(x, start, limit, Dims(start.size(), 1));
}

/// The entry of one direction of an operand [directions, ...].
ValueId of_direction(GraphBuilder& b, ValueId x, std::int64_t direction) {
  const ValueId entry = cut(b, x, 0, direction, direction + 1);
  const Dims& extents = b.shape(x).extents();
  return b.reshape(entry, Shape(Dims(extents.begin() + 1, extents.end())));
}

ValueId activation(OpContext& c, const std::string& name, ValueId x) {
  GraphBuilder& b = c.b;
  if (name == "Sigmoid") return b.unary(Op::sigmoid, x);
  if (name == "Tanh") return b.unary(Op::tanh, x);
  if (name == "Relu") return b.unary(Op::relu, x);
  if (name == "Softplus") return b.unary(Op::softplus, x);
  if (name == "Softsign") return b.div(x, b.add(b.like(x, 1), b.unary(Op::abs, x)));
  OpContext::unsupported("activation " + name + " is not supported");
}

/// What the three kinds of cell have in common.
class Recurrence {
 public:
  Recurrence(OpContext& c, int gates, int activations_per_direction)
      : c_(c), b_(c.b), gates_(gates), batch_major_(c.integer("layout", 0) != 0) {
    x_ = batch_major_ ? b_.transpose(c.in(0), {1, 0, 2}) : c.in(0);
    if (b_.shape(x_).rank() != 3) OpContext::unsupported("its operand must be [sequence, batch, features]");
    steps_ = b_.shape(x_)[0];
    batch_ = b_.shape(x_)[1];
    if (c.rank(1) != 3 || c.rank(2) != 3 || c.shape(2)[1] != gates * c.shape(2)[2])
      OpContext::unsupported("weights must be [directions, gates * hidden, ...]");
    hidden_ = c.shape(2)[2];
    if (steps_ < 1 || steps_ > kLongestSequence)
      OpContext::unsupported(
          fmt::format("sequences of 1 to {} steps are unrolled; this has {}", kLongestSequence, steps_));
    if (c.has_attribute("clip")) OpContext::unsupported("attribute 'clip' is not supported");
    if (c.has_attribute("activation_alpha") || c.has_attribute("activation_beta"))
      OpContext::unsupported("activations with parameters are not supported");
    const std::string direction = c.text("direction", "forward");
    directions_ = direction == "bidirectional" ? 2 : 1;
    backward_first_ = direction == "reverse";
    names_ = c.texts("activations");
    if (!names_.empty() && static_cast<std::int64_t>(names_.size()) != directions_ * activations_per_direction)
      OpContext::unsupported("activations do not fit the directions");
    per_direction_ = activations_per_direction;
    if (c.shape(2)[0] != directions_) OpContext::unsupported("weights do not fit the directions");
  }

  OpContext& context() { return c_; }
  GraphBuilder& builder() { return b_; }
  std::int64_t hidden() const { return hidden_; }
  std::int64_t directions() const { return directions_; }

  /// An initial state operand of one direction, or zeros.
  ValueId initial(int operand, std::int64_t direction) {
    if (!c_.has(operand)) return b_.full(b_.dtype(x_), Shape{batch_, hidden_}, 0);
    const ValueId all = batch_major_ ? b_.transpose(c_.in(operand), {1, 0, 2}) : c_.in(operand);
    return of_direction(b_, all, direction);
  }
  /// Its rows of one gate, or of all of them (-1). The same value at every step, so that its gradient is one product.
  ValueId recurrent_weight(std::int64_t direction, int gate = -1) {
    const auto [at, fresh] = recurrent_weights_.try_emplace({direction, gate}, kNone);
    if (fresh) {
      const ValueId all = of_direction(b_, c_.in(2), direction);
      at->second = gate < 0 ? all : cut(b_, all, 0, gate * hidden_, (gate + 1) * hidden_);
    }
    return at->second;
  }
  /// Of both biases [input biases, recurrent biases]: half 0 or 1.
  ValueId bias(std::int64_t direction, int half) {
    const std::int64_t width = gates_ * hidden_;
    return cut(b_, of_direction(b_, c_.in(3), direction), 0, half * width, (half + 1) * width);
  }
  ValueId gate(ValueId all, int index) {
    return cut(b_, all, b_.shape(all).rank() - 1, index * hidden_, (index + 1) * hidden_);
  }
  ValueId times(ValueId h, ValueId weight) { return b_.dot(h, weight, {}, {}, {1}, {1}); }
  /// `x` and the product of `h` and `weight`, which is nothing in the first of several steps where the state begins
  /// with zeros.
  ValueId plus_product(ValueId x, ValueId h, ValueId weight) { return is_zero(h) ? x : b_.add(x, times(h, weight)); }
  ValueId activate(std::int64_t direction, int index, const char* otherwise, ValueId v) {
    const auto at = static_cast<std::size_t>(direction * per_direction_ + index);
    return activation(c_, names_.empty() ? otherwise : names_[at], v);
  }

  enum class Biases { both, input };  ///< which are added to what the steps read

  /// Runs every direction. `cell` maps (direction, gate inputs [batch, gates * hidden], state) to the next state, whose
  /// first entry is h. Results: Y, then each state's last value over directions.
  template <class Initial, class Cell>
  Values run(const Initial& initial_state, const Cell& cell, Biases biases = Biases::both) {
    std::vector<Values> outputs;  // by direction, then step
    std::vector<Values> last;     // by state, then direction
    for (std::int64_t d = 0; d < directions_; ++d) {
      const ValueId weight = of_direction(b_, c_.in(1), d);
      ValueId projected = b_.dot(x_, weight, {}, {}, {2}, {1});
      if (c_.has(3))
        projected = b_.add(projected, biases == Biases::both ? b_.add(bias(d, 0), bias(d, 1)) : bias(d, 0));
      Values state = initial_state(d);
      Values steps(static_cast<std::size_t>(steps_));
      const bool backward = d == 1 || backward_first_;
      for (std::int64_t i = 0; i < steps_; ++i) {
        const std::int64_t t = backward ? steps_ - 1 - i : i;
        const ValueId here = b_.reshape(cut(b_, projected, 0, t, t + 1), Shape{batch_, gates_ * hidden_});
        steps[static_cast<std::size_t>(t)] = advance(state, cell(d, here, state), t);
      }
      outputs.push_back(steps);
      last.resize(state.size());
      for (std::size_t s = 0; s < state.size(); ++s) last[s].push_back(state[s]);
    }
    Values results = {stack_outputs(outputs)};
    for (const Values& values : last) results.push_back(stack_last(values));
    return results;
  }

 private:
  /// Takes the next state where the sequence is still running; returns what the step shows.
  ValueId advance(Values& state, const Values& next, std::int64_t t) {
    if (!c_.has(4)) {
      state = next;
      return state.front();
    }
    const ValueId length = b_.cast(c_.in(4), DType::i64);
    const ValueId running = b_.binary(Op::greater, length, b_.like(length, static_cast<double>(t)));
    const ValueId mask = b_.broadcast_in(running, Shape{batch_, hidden_}, {0});
    for (std::size_t s = 0; s < state.size(); ++s) state[s] = b_.select(mask, next[s], state[s]);
    return b_.select(mask, next.front(), b_.like(next.front(), 0));
  }

  ValueId stack_outputs(const std::vector<Values>& outputs) {
    Values parts;
    for (std::int64_t t = 0; t < steps_; ++t)
      for (const Values& direction : outputs)
        parts.push_back(b_.reshape(direction[static_cast<std::size_t>(t)], Shape{1, batch_, hidden_}));
    const ValueId y = b_.reshape(b_.concat(parts, 0), Shape{steps_, directions_, batch_, hidden_});
    return batch_major_ ? b_.transpose(y, {2, 0, 1, 3}) : y;
  }

  ValueId stack_last(const Values& values) {
    Values parts;
    for (const ValueId v : values) parts.push_back(b_.reshape(v, Shape{1, batch_, hidden_}));
    const ValueId all = b_.concat(parts, 0);
    return batch_major_ ? b_.transpose(all, {1, 0, 2}) : all;
  }

  /// Known to be zeros, through what only moves them.
  bool is_zero(ValueId v) const {
    const Node* node = b_.graph().producer(v);
    while (node != nullptr &&
           (node->op == Op::broadcast || node->op == Op::reshape || node->op == Op::slice || node->op == Op::transpose))
      node = b_.graph().producer(node->inputs[0]);
    if (node == nullptr || !node->literal || !is_float(node->literal->dtype())) return false;
    for (std::int64_t i = 0; i < node->literal->elements(); ++i)
      if (node->literal->as_double(i) != 0) return false;
    return true;
  }

  OpContext& c_;
  GraphBuilder& b_;
  std::int64_t gates_;
  bool batch_major_;
  ValueId x_ = kNone;
  std::int64_t steps_ = 0, batch_ = 0, hidden_ = 0, directions_ = 1, per_direction_ = 1;
  bool backward_first_ = false;
  std::map<std::pair<std::int64_t, int>, ValueId> recurrent_weights_;  ///< by direction and gate
  std::vector<std::string> names_;
};

Values import_rnn(OpContext& c) {
  Recurrence r(c, 1, 1);
  return r.run([&](std::int64_t d) { return Values{r.initial(5, d)}; },
               [&](std::int64_t d, ValueId x, const Values& state) {
                 const ValueId sum = r.plus_product(x, state[0], r.recurrent_weight(d));
                 return Values{r.activate(d, 0, "Tanh", sum)};
               });
}

Values import_gru(OpContext& c) {
  Recurrence r(c, 3, 2);
  GraphBuilder& b = c.b;
  const bool reset_after = c.integer("linear_before_reset", 0) != 0;
  Values biases;  // recurrent, by direction
  for (std::int64_t d = 0; d < r.directions() && c.has(3); ++d) biases.push_back(r.bias(d, 1));
  return r.run([&](std::int64_t d) { return Values{r.initial(5, d)}; },
               [&](std::int64_t d, ValueId x, const Values& state) {
                 const ValueId h = state[0];
                 const auto recur = [&](ValueId from, int gate) {
                   const ValueId product = r.times(from, r.recurrent_weight(d, gate));
                   return biases.empty() ? product : b.add(product, r.gate(biases[static_cast<std::size_t>(d)], gate));
                 };
                 const ValueId update = r.activate(d, 0, "Sigmoid", b.add(r.gate(x, 0), recur(h, 0)));
                 const ValueId reset = r.activate(d, 0, "Sigmoid", b.add(r.gate(x, 1), recur(h, 1)));
                 const ValueId inner = reset_after ? b.mul(reset, recur(h, 2)) : recur(b.mul(reset, h), 2);
                 const ValueId fresh = r.activate(d, 1, "Tanh", b.add(r.gate(x, 2), inner));
                 const ValueId keep = b.sub(b.like(update, 1), update);
                 return Values{b.add(b.mul(keep, fresh), b.mul(update, h))};
               },
               Recurrence::Biases::input);
}

Values import_lstm(OpContext& c) {
  Recurrence r(c, 4, 3);
  GraphBuilder& b = c.b;
  const bool coupled = c.integer("input_forget", 0) != 0;
  // Gates are input, output, forget, cell; peepholes input, output, forget.
  return r.run(
      [&](std::int64_t d) {
        return Values{r.initial(5, d), r.initial(6, d)};
      },
      [&](std::int64_t d, ValueId x, const Values& state) {
        const ValueId old = state[1];
        const ValueId all = r.plus_product(x, state[0], r.recurrent_weight(d));
        const auto peep = [&](ValueId v, int gate, ValueId cell) {
          if (!c.has(7)) return v;
          const ValueId weight = of_direction(b, c.in(7), d);
          return b.add(v, b.mul(cell, cut(b, weight, 0, gate * r.hidden(), (gate + 1) * r.hidden())));
        };
        const ValueId in = r.activate(d, 0, "Sigmoid", peep(r.gate(all, 0), 0, old));
        const ValueId forget =
            coupled ? b.sub(b.like(in, 1), in) : r.activate(d, 0, "Sigmoid", peep(r.gate(all, 2), 2, old));
        const ValueId fresh = r.activate(d, 1, "Tanh", r.gate(all, 3));
        const ValueId cell = b.add(b.mul(forget, old), b.mul(in, fresh));
        const ValueId out = r.activate(d, 0, "Sigmoid", peep(r.gate(all, 1), 1, cell));
        return Values{b.mul(out, r.activate(d, 2, "Tanh", cell)), cell};
      });
}

constexpr OpRow kRecurrentRows[] = {
    {"RNN", import_rnn, 7},
    {"GRU", import_gru, 7},
    {"LSTM", import_lstm, 7},
};

}  // namespace

std::span<const OpRow> recurrent_rows() { return kRecurrentRows; }

}  // namespace weft::onnx
