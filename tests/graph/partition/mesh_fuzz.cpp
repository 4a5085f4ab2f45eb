// Random graphs over random meshes, states cut at random: what all ranks compute together is what one computes.
//
//     test_mesh_fuzz [--graphs N] [--seed S]
//
// Number i is drawn from seed S + i, so a failure is repeated by `--seed FOUND --graphs 1`. The oracle is the unsharded
// graph in real arithmetic with a bound of what rounding may do (tests/fuzz/error_bounds.hpp); each rank's part of a
// state is compared with that part. Exit code 1 when something differs.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "graph/ir/builder.hpp"
#include "tests/fuzz/drawn_graph.hpp"
#include "tests/fuzz/error_bounds.hpp"
#include "tests/graph/partition/lockstep.hpp"
#include "tests/support/dice.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

using testing::Dice;

struct MeshCase {
  Case step;
  Mesh mesh;
  StateCutList cuts;
};

/// The graph with `samples` as the first dimension of every feed; what else is no state becomes one, or stays whole.
Case with_samples(const Case& from, std::int64_t samples, Dice& dice) {
  GraphBuilder b;
  std::vector<ValueId> arguments;
  for (const GraphInput& i : from.graph.inputs()) {
    const TensorType& type = from.graph.type(i.value);
    const bool sampled = type.shape.rank() > 0 && type.shape[0] == samples;
    InputRole role = i.role == InputRole::feed && !sampled ? InputRole::scalar : i.role;
    if (role == InputRole::scalar && type.shape.rank() > 0 && dice.chance(70)) role = InputRole::state;
    arguments.push_back(b.input(i.name, role, type));
  }
  const std::vector<ValueId> values = b.inlined(from.graph, arguments);
  for (std::size_t i = 0; i < values.size(); ++i)
    b.output(from.graph.outputs()[i].name, from.graph.outputs()[i].role, values[i]);
  return {std::move(b).take(), from.inputs};
}

MeshCase drawn_mesh_case(unsigned seed) {
  Dice dice(seed ^ 0x5eedu);
  Case c = drawn_case(seed);
  std::vector<std::int64_t> firsts;
  for (const GraphInput& i : c.graph.inputs())
    if (i.role == InputRole::feed && c.graph.type(i.value).shape.rank() > 0)
      firsts.push_back(c.graph.type(i.value).shape[0]);
  const std::int64_t samples =
      firsts.empty() ? 0 : firsts[static_cast<std::size_t>(dice.roll(0, std::ssize(firsts) - 1))];
  MeshCase result{with_samples(c, samples, dice), {}, {}};
  const int tensor = dice.pick({1, 2, 2, 3, 4, 8}), data = static_cast<int>(dice.roll(1, 8 / tensor));
  result.mesh.axes = {{"data", data}, {"tensor", tensor}};
  if (dice.chance(50)) std::swap(result.mesh.axes[0], result.mesh.axes[1]);
  if (dice.chance(30) && data * tensor <= 4) {  // two axes that cut states
    const auto place = result.mesh.axes.begin() + dice.roll(0, 2);
    result.mesh.axes.insert(place, {"expert", static_cast<int>(dice.roll(2, 3))});
  }
  for (const GraphInput& i : result.step.graph.inputs()) {
    const Shape& shape = result.step.graph.type(i.value).shape;
    if (i.role != InputRole::state || shape.rank() == 0) continue;
    std::vector<int> taken;  // one axis cuts what the other leaves
    for (const char* axis : {"tensor", "expert", "data"}) {
      const int size = result.mesh.axis_size(axis);
      if (result.mesh.axis_index(axis) < 0 || dice.chance(30)) continue;
      const auto d = static_cast<int>(dice.roll(0, shape.rank() - 1));
      const std::int64_t blocks = dice.chance(70) ? 1 : dice.roll(2, 3);
      const bool again = std::find(taken.begin(), taken.end(), d) != taken.end();
      if (again || shape[d] % blocks != 0 || shape[d] / blocks < size) continue;
      taken.push_back(d);
      result.cuts.push_back({i.name, axis, d, blocks});
    }
  }
  return result;
}

/// Shares of a sum are rounded to its type, so that sums of 16-bit floats, which are taken in f32 otherwise, are off by
/// more than the bound knows. Training's own are stored narrow after they are cut, and added wide.
bool has_narrow_floats(const Graph& graph) {
  for (const Value& v : graph.values())
    if (v.type.dtype == DType::f16 || v.type.dtype == DType::bf16) return true;
  return false;
}

/// Each rank rounds its share of a sum, which may cancel with the others'. Moments over ranks are sums of squares in
/// f64.
void loosen(Bounded& part, DType type, int ranks) {
  double largest = 1;
  for (std::int64_t i = 0; i < part.value.elements(); ++i)
    if (const double v = std::abs(part.value.as_double(i)); std::isfinite(v)) largest = std::max(largest, v);
  const double rounding = !is_float(type) ? 0 : type == DType::f64 ? 0x1p-30 : 0x1p-23;
  const auto errors = part.error.mutable_values<double>();
  for (std::int64_t i = 0; i < part.error.elements(); ++i) {
    double& e = errors[static_cast<std::size_t>(i)];
    e = e * (1 + ranks) + rounding * largest * ranks;
    // A share of nothing over nothing is NaN where the sum is infinite.
    if (std::isinf(part.value.as_double(i))) e = std::numeric_limits<double>::infinity();
  }
}

/// Dropout over samples, and cuts that one axis makes impossible for the next.
bool is_refused(const char* message) {
  for (const char* why : {"its random numbers", "leaves unequal parts", "and along another axis", "are too few for",
                          "equal blocks", "takes different forms"})
    if (std::strstr(message, why) != nullptr) return true;
  return false;
}

struct Tally {
  std::int64_t run = 0, cut = 0, elements = 0, determined = 0;
};

/// What is wrong, or "".
std::string check(const MeshCase& c, Tally& tally) {
  if (has_narrow_floats(c.step.graph)) return "";
  const auto want = bounded(c.step.graph, c.step.inputs);
  std::map<std::string, Placement> placements;
  std::vector<test::Table> got;
  try {
    placements = state_placements(c.step.graph, c.mesh, c.cuts);
    got = test::run_mesh(c.step.graph, c.mesh, c.cuts, c.step.inputs);
  } catch (const UserError& e) {
    if (is_refused(e.what())) return "";
    throw;
  }
  ++tally.run;
  tally.cut += c.cuts.empty() ? 0 : 1;
  for (std::size_t r = 0; r < got.size(); ++r)
    for (const GraphOutput& o : c.step.graph.outputs()) {
      Bounded part = want.at(o.name);
      if (o.role == OutputRole::state && placements.count(o.name) != 0) {
        const std::vector<int> at = c.mesh.coordinates(static_cast<int>(r));
        part.value = test::part_of(part.value, placements.at(o.name), at);
        part.error = test::part_of(part.error, placements.at(o.name), at);
      }
      loosen(part, c.step.graph.type(o.value).dtype, c.mesh.ranks());
      const std::string wrong =
          violation(got[r].at(o.name), c.step.graph.type(o.value).dtype, part, &tally.elements, &tally.determined);
      if (!wrong.empty()) return fmt::format("rank {}: output '{}' {}", r, o.name, wrong);
    }
  return "";
}

unsigned number(const std::string& name, const char* text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || *end != 0) throw UserError(fmt::format("{} takes a number, not '{}'", name, text));
  return value;
}

int run(unsigned graphs, unsigned seed) {
  Tally tally;
  int failures = 0;
  for (unsigned i = seed; i < seed + graphs; ++i) {
    std::string wrong;
    const MeshCase c = drawn_mesh_case(i);
    try {
      wrong = check(c, tally);
    } catch (const std::exception& e) {
      wrong = fmt::format("throws: {}", e.what());
    }
    if (wrong.empty()) continue;
    std::string cuts;
    for (const StateCut& cut : c.cuts)
      cuts += fmt::format(" {}:{}/{} over {}", cut.state, cut.dimension, cut.blocks, cut.axis);
    fmt::print("FAILED seed {} over {}, cut{}: {}\n", i, c.mesh.str(), cuts, wrong);
    if (++failures <= 1) fmt::print("{}", c.step.graph.str());
    std::fflush(stdout);
  }
  fmt::print("{} graphs, {} of them run, {} with cut states; {} numbers compared, {} % determined; {} failures\n",
             graphs, tally.run, tally.cut, tally.elements,
             tally.determined * 100 / std::max<std::int64_t>(tally.elements, 1), failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace weft::fuzz

int main(int argc, char** argv) {
  unsigned graphs = 400, seed = 1;
  try {
    for (int i = 1; i < argc; i += 2) {
      const std::string name = argv[i];
      if ((name != "--graphs" && name != "--seed") || i + 1 == argc)
        throw weft::UserError("options: --graphs N, --seed S");
      (name == "--graphs" ? graphs : seed) = weft::fuzz::number(name, argv[i + 1]);
    }
    return weft::fuzz::run(graphs, seed);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 2;
  }
}
