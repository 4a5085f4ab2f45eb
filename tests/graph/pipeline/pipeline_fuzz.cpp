// Random networks, jobs and meshes with the axis "pipeline": what all ranks compute together is what one rank does.
//
//     test_pipeline_fuzz [--networks N] [--seed S]
//
// Number i is drawn from seed S + i, so a failure is repeated by `--seed FOUND --networks 1`. Over pipelines alone
// every bit must be the same, but for sums of tied weights' gradients, which are taken in another order. Exit code 1
// when something differs.
#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "tests/graph/pipeline/pipelined_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "tests/support/dice.hpp"
#include "weft/error.hpp"

namespace weft::test {
namespace {

using weft::testing::Dice;

/// Layers of equal width with what makes stages depend on each other: skips over several layers, shared weights, a
/// second input in the middle, statistics, dropout.
class DrawnNetwork {
 public:
  DrawnNetwork(unsigned seed, int layers, bool tied) : seed_(seed), layers_(layers), tied_(tied) {}

  Model operator()(std::int64_t samples) const {
    Draw d{{}, {}, Dice(seed_), 0};
    const std::int64_t width = d.dice.roll(3, 6);
    ValueId v = d.b.input("x", InputRole::feed, {DType::f32, {samples, 5}});
    const ValueId side = d.b.input("side", InputRole::feed, {DType::f32, {samples, width}});
    v = d.affine(v, 5, width);
    std::vector<ValueId> earlier{v, side};
    ValueId shared = kNone;
    for (int i = 0; i < layers_; ++i) {
      ValueId y = d.normalised(v, width);
      if (tied_ && (i == 0 || i == layers_ - 1 || d.dice.chance(25))) {
        if (shared == kNone) shared = d.state("shared", {width, width}, 0.5F, 0);
        y = d.b.matmul(y, shared);
      } else {
        y = d.affine(y, width, width);
      }
      y = d.activated(y);
      v = d.dice.chance(40) ? d.b.add(y, earlier[static_cast<std::size_t>(d.dice.roll(0, std::ssize(earlier) - 1))])
                            : y;
      earlier.push_back(v);
    }
    d.b.output("y", OutputRole::fetch, d.affine(v, width, 4));
    d.model.forward = std::move(d.b).take();
    return std::move(d.model);
  }

 private:
  struct Draw {
    Model model;
    GraphBuilder b;
    Dice dice;
    int names;

    ValueId state(const std::string& name, const Shape& shape, float factor, float offset, bool trainable = true) {
      const int k = names++;
      return add_state(model, b, name + std::to_string(k), noise(shape, k, factor, offset), trainable);
    }
    ValueId affine(ValueId v, std::int64_t in, std::int64_t out) {
      const ValueId y = b.matmul(v, state("w", {in, out}, 0.5F, 0));
      return dice.chance(70) ? b.add(y, state("c", {out}, 0.1F, 0)) : y;
    }
    ValueId normalised(ValueId v, std::int64_t width) {
      const ScopedName scope(b, "norm" + std::to_string(names));
      const bool batch = dice.chance(25);
      if (!batch && dice.chance(60)) return v;
      const ValueId scale = state("scale", {width}, 0.3F, 1), bias = state("bias", {width}, 0.3F, 0);
      if (!batch) return b.one(Op::layer_norm, {v, scale, bias}, {{"axis", std::int64_t{1}}, {"epsilon", 1e-5}});
      const ValueId mean = state("mean", {width}, 0.1F, 0, false), var = state("var", {width}, 0.1F, 1, false);
      return b.one(Op::batch_norm, {v, scale, bias, mean, var},
                   {{"axis", std::int64_t{1}}, {"epsilon", 1e-2}, {"momentum", 0.9}, {"groups", std::int64_t{0}}});
    }
    ValueId activated(ValueId v) {
      v = b.unary(dice.pick({Op::relu, Op::tanh, Op::sigmoid, Op::softplus}), v);
      if (dice.chance(70)) return v;
      const ScopedName scope(b, "drop" + std::to_string(names));
      return b.one(Op::dropout, {v}, {{"ratio", 0.25}, {"id", std::int64_t{0}}, {"sample_dim", std::int64_t{0}}});
    }
  };

  unsigned seed_;
  int layers_;
  bool tied_;
};

struct Drawn {
  PassedStep step;
  Mesh mesh;
  int chunks = 1;
  StateCutList cuts;
  double tolerance = 0;
};

Drawn drawn(unsigned seed) {
  Dice dice(seed ^ 0xb0b1u);
  const int ranks = dice.pick({2, 2, 3, 4, 8}), chunks = ranks <= 4 ? dice.pick({1, 1, 2, 3}) : 1;
  const int data = dice.pick({1, 1, 2, 3}), tensor = dice.pick({1, 1, 2});
  const bool tied = dice.chance(40);
  const int layers = static_cast<int>(dice.roll(ranks * chunks, ranks * chunks + 4));
  Drawn result;
  result.chunks = chunks;
  result.mesh.axes = {{"data", data}, {"tensor", tensor}, {"pipeline", ranks}};
  if (dice.chance(50)) std::swap(result.mesh.axes[0], result.mesh.axes[2]);
  PassedStep& step = result.step;
  step.make = DrawnNetwork(seed, layers, tied);
  step.pass_samples = 6;
  step.micro_batches = chunks > 1 ? ranks * dice.roll(1, 2) : dice.roll(1, 6);
  step.job = plain_job();
  step.job.batch = step.pass_samples * step.micro_batches;
  step.job.batch_norm_group = dice.pick({2, 3, 6});
  step.job.metrics = {"accuracy"};
  const bool other_order = data * tensor > 1 || tied || step.micro_batches == 1;
  result.tolerance = other_order ? 1e-3 : 0;
  const std::string name =
      other_order ? "sgd"
                  : dice.pick({std::string("sgd"), std::string("adamw"), std::string("rmsprop"), std::string("lamb")});
  step.job.optimizer = optimizer_spec(name, {{"lr", 0.01}});
  if (name == "sgd") step.job.optimizer.momentum = 0.9;
  if (dice.chance(50)) step.job.optimizer.clip_norm = 0.5;
  if (dice.chance(20)) step.job.optimizer.clip_value = 0.1;
  if (!other_order && dice.chance(20)) step.job.precision = DType::f16;
  if (dice.chance(20)) step.job.freeze = {"w0"};
  if (tensor > 1) {
    const Model model = step.make(2);
    for (const ModelState& s : model.states)
      if (s.initial.shape().rank() == 2 && dice.chance(40))
        result.cuts.push_back({s.name, "tensor", static_cast<int>(dice.roll(0, 1))});
  }
  return result;
}

unsigned number(const std::string& name, const char* text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || *end != 0) throw UserError(fmt::format("{} takes a number, not '{}'", name, text));
  return value;
}

/// Cuts that a mesh makes impossible.
bool is_refused(const std::string& message) {
  for (const char* why : {"leaves unequal parts", "are too few for", "takes different forms", "needs as many places"})
    if (message.find(why) != std::string::npos) return true;
  return false;
}

int run(unsigned networks, unsigned seed) {
  int failures = 0, refused = 0;
  for (unsigned i = seed; i < seed + networks; ++i) {
    const Drawn d = drawn(i);
    std::string wrong;
    try {
      wrong = first_difference(d.step, d.mesh, d.chunks, d.tolerance, d.cuts);
    } catch (const UserError& e) {
      if (!is_refused(e.what())) wrong = fmt::format("throws: {}", e.what());
      if (wrong.empty()) ++refused;
    } catch (const std::exception& e) {
      wrong = fmt::format("throws: {}", e.what());
    }
    if (wrong.empty()) continue;
    fmt::print("FAILED seed {} over {}, {} chunks, {} micro-batches: {}\n", i, d.mesh.str(), d.chunks,
               d.step.micro_batches, wrong);
    std::fflush(stdout);
    ++failures;
  }
  fmt::print("{} networks, {} refused; {} failures\n", networks, refused, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace weft::test

int main(int argc, char** argv) {
  unsigned networks = 100, seed = 1;
  try {
    for (int i = 1; i < argc; i += 2) {
      const std::string name = argv[i];
      if ((name != "--networks" && name != "--seed") || i + 1 == argc)
        throw weft::UserError("options: --networks N, --seed S");
      (name == "--networks" ? networks : seed) = weft::test::number(name, argv[i + 1]);
    }
    return weft::test::run(networks, seed);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 2;
  }
}
