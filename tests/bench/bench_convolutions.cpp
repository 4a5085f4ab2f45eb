// Convolutions one by one, as the CPU device would run them: forward and both gradients, layouts of its own choice.
//
//     bench_convolutions CASES.json      # what bench_convolutions.py hands over; prints a JSON list
//
// A case is {name, input: [N, C, spatial...], filter: [O, C / groups, spatial...], strides, pads, dilations, groups};
// OMP_NUM_THREADS sets the threads. Of each direction: milliseconds of the fastest launch, the kernel, its layouts.
#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "graph/ir/builder.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/bench/measure.hpp"
#include "weft/error.hpp"

namespace weft::bench {
namespace {

using Json = nlohmann::ordered_json;

Attributes attributes_of(const Json& c) {
  const Dims strides = c.at("strides"), pads = c.at("pads"), dilations = c.at("dilations");
  return {{"strides", strides},
          {"pads_low", pads},
          {"pads_high", pads},
          {"dilations", dilations},
          {"groups", c.at("groups").get<std::int64_t>()}};
}

/// Bodies of one convolution's three directions, by name.
std::vector<std::pair<std::string, Graph>> bodies(const Json& c) {
  const TensorType x{DType::f32, Shape(c.at("input").get<Dims>())}, w{DType::f32, Shape(c.at("filter").get<Dims>())};
  const Attributes attributes = attributes_of(c);
  std::vector<std::pair<std::string, Graph>> result;
  GraphBuilder forward;
  const ValueId y =
      forward
          .node(Op::conv_general, {forward.input("x", InputRole::feed, x), forward.input("w", InputRole::feed, w)},
                attributes)
          .front();
  forward.output("y", OutputRole::fetch, y);
  const TensorType dy{DType::f32, forward.shape(y)};
  result.emplace_back("forward", forward.graph());

  GraphBuilder data;
  Attributes with_shape = attributes;
  with_shape.set("input_shape", x.shape.extents());
  data.output("dx", OutputRole::fetch,
              data.node(Op::conv_data_grad,
                        {data.input("dy", InputRole::feed, dy), data.input("w", InputRole::feed, w)}, with_shape)
                  .front());
  result.emplace_back("data", data.graph());

  GraphBuilder filter;
  with_shape = attributes;
  with_shape.set("filter_shape", w.shape.extents());
  filter.output("dw", OutputRole::fetch,
                filter
                    .node(Op::conv_filter_grad,
                          {filter.input("x", InputRole::feed, x), filter.input("dy", InputRole::feed, dy)}, with_shape)
                    .front());
  result.emplace_back("filter", filter.graph());
  return result;
}

/// A depthwise convolution as training meets it: between two batch normalisations, each clipped to [0, 6].
class Surrounded {
 public:
  Surrounded(GraphBuilder& builder, std::string name, const Shape& shape, const Shape& channels)
      : b_(builder), name_(std::move(name)), shape_(shape), channels_(channels) {
    x_ = input("x", shape);
    normal_ = b_.mul(b_.sub(x_, along("mean")), along("scale"));
    affine_ = b_.add(b_.mul(normal_, along("weight")), along("bias"));
    lower_ = b_.binary(Op::maximum, affine_, b_.full(DType::f32, shape_, 0));
    clipped_ = b_.binary(Op::minimum, lower_, b_.full(DType::f32, shape_, 6));
  }
  ValueId clipped() const { return clipped_; }
  ValueId normal() const { return normal_; }
  /// The gradient of the affine result, by that of the clipped one.
  ValueId masked(ValueId gradient) {
    const ValueId zero = b_.full(DType::f32, shape_, 0);
    const ValueId upper = b_.select(b_.binary(Op::less, lower_, b_.full(DType::f32, shape_, 6)), gradient, zero);
    return b_.select(b_.binary(Op::greater, affine_, zero), upper, zero);
  }
  /// The gradient of the operand.
  ValueId applied(ValueId masked) {
    const ValueId centred = b_.sub(masked, along("sum"));
    return b_.mul(b_.sub(centred, b_.mul(normal_, along("product"))), along("factor"));
  }
  ValueId input(const std::string& what, const Shape& shape) {
    return b_.input(what + name_, InputRole::feed, {DType::f32, shape});
  }

 private:
  ValueId along(const std::string& what) { return b_.broadcast_in(input(what, channels_), shape_, {1}); }

  GraphBuilder& b_;
  std::string name_;
  Shape shape_, channels_;
  ValueId x_, normal_, affine_, lower_, clipped_;
};

/// What one kernel may do of a depthwise convolution in each direction, with all that is pointwise around it.
std::vector<std::pair<std::string, Graph>> fused_bodies(const Json& c) {
  const Shape x(c.at("input").get<Dims>()), w(c.at("filter").get<Dims>()), channels{w[0]};
  const Dims strides = c.at("strides"), pads = c.at("pads"), dilations = c.at("dilations");
  GraphBuilder forward;
  Surrounded before(forward, "", x, channels);
  const ValueId y = forward.conv(before.clipped(), before.input("w", w), {strides, pads, pads, dilations, channels[0]});
  forward.output("y", OutputRole::fetch, y);
  const auto moments = forward.node(Op::moments, {y}, {{"dims", Dims{0, 2, 3}}});
  forward.output("mean", OutputRole::fetch, moments[0]);
  forward.output("variance", OutputRole::fetch, moments[1]);

  GraphBuilder b;
  Surrounded at(b, "", x, channels), behind(b, "2", forward.shape(y), channels);
  const ValueId dy = behind.applied(behind.masked(behind.input("dz", forward.shape(y))));
  Attributes attributes = attributes_of(c);
  attributes.set("input_shape", x.extents());
  const ValueId dx = b.one(Op::conv_data_grad, {dy, at.input("w", w)}, attributes);
  attributes = attributes_of(c);
  attributes.set("filter_shape", w.extents());
  b.output("dx", OutputRole::fetch, dx);
  b.output("dw", OutputRole::fetch, b.one(Op::conv_filter_grad, {at.clipped(), dy}, attributes));
  const ValueId masked = at.masked(dx);
  b.output("sum", OutputRole::fetch, b.reduce(Op::reduce_sum, masked, {0, 2, 3}));
  b.output("product", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(masked, at.normal()), {0, 2, 3}));
  return {{"fused_forward", forward.graph()}, {"fused_backward", b.graph()}};
}

Json measure(Device& device, const Graph& body) {
  const KernelAnswer answer = device.oracle().ask(body);
  if (!answer.offer) return {{"ms", nullptr}, {"kernel", "none"}};
  LoadedKernel kernel(device, answer.offer->spec);
  const Clock clock(device.target().threads);
  const double seconds = best_seconds(clock, 0.1, [&] { kernel.launch(); });
  Json layouts = Json::array();
  const Graph& chosen = answer.offer->spec.body;
  for (const GraphInput& i : chosen.inputs()) layouts.push_back(chosen.layout(i.value).str());
  for (const GraphOutput& o : chosen.outputs()) layouts.push_back(chosen.layout(o.value).str());
  return {{"ms", 1e3 * seconds},
          {"gflops", answer.offer->spec.flops / seconds / 1e9},
          {"kernel", answer.offer->spec.implementation},
          {"layouts", layouts}};
}

int run(int argc, char** argv) {
  if (argc != 2) throw UserError("usage: bench_convolutions CASES.json");
  std::ifstream file(argv[1]);
  if (!file) throw UserError(fmt::format("cannot read {}", argv[1]));
  const auto device = make_cpu_device({});
  Json out = Json::array();
  for (const Json& c : Json::parse(file)) {
    Json line{{"name", c.at("name")}};
    for (const auto& [direction, body] : bodies(c)) line[direction] = measure(*device, body);
    if (c.at("groups") == c.at("input")[1] && c.at("input").size() == 4)
      for (const auto& [direction, body] : fused_bodies(c)) line[direction] = measure(*device, body);
    out.push_back(std::move(line));
  }
  fmt::print("{}\n", out.dump());
  return 0;
}

}  // namespace
}  // namespace weft::bench

int main(int argc, char** argv) {
  try {
    return weft::bench::run(argc, argv);
  } catch (const weft::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit_code());
  } catch (const nlohmann::json::exception& error) {
    fmt::print(stderr, "{}: {}\n", argv[1], error.what());
    return 2;
  }
}
