// Trying the library's formats and implementations. Asks oneDNN directly, so that the measure does not depend on what
// our own kernels would choose.
#include "tests/bench/library_contraction.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>

#include "weft/error.hpp"

namespace weft::bench {
namespace {

using dnnl::memory;
using tag = memory::format_tag;

/// Memory that contractions measured one after the other share.
class OperandPool {
 public:
  explicit OperandPool(Device& device) : device_(device) {}

  /// At least `bytes`, until the next call for the slot; small numbers.
  std::byte* get(std::size_t slot, std::int64_t bytes) {
    if (memory_.size() <= slot) memory_.resize(slot + 1);
    if (!memory_[slot] || memory_[slot]->bytes() < bytes) {
      memory_[slot].reset();
      memory_[slot] = device_.allocate(bytes, MemorySpace::host);
      // 0.0117 in bf16; in f32 two of them are a number of that size too.
      std::fill_n(reinterpret_cast<std::uint16_t*>(memory_[slot]->data()), bytes / 2, std::uint16_t{0x3C40});
    }
    return memory_[slot]->data();
  }

 private:
  Device& device_;
  std::vector<std::unique_ptr<Allocation>> memory_;
};

/// Where primitives are made and run.
struct Place {
  dnnl::engine engine;
  OperandPool& pool;
  const Clock& clock;
};

std::optional<memory::data_type> type_of(DType type) {
  switch (type) {
    case DType::f32: return memory::data_type::f32;
    case DType::bf16: return memory::data_type::bf16;
    default: return std::nullopt;
  }
}

/// A result may be wider than the operands.
struct Types {
  memory::data_type operands, result;
};

using Operands = std::vector<std::pair<int, memory::desc>>;

/// A primitive over memory of the pool.
class Candidate final : public LibraryContraction {
 public:
  Candidate(dnnl::primitive primitive, const Operands& operands, const memory::desc& scratch, std::string what,
            const Place& place)
      : primitive_(std::move(primitive)), stream_(place.engine), pool_(place.pool), what_(std::move(what)) {
    for (const auto& [name, desc] : operands) bind(name, desc, place.engine);
    if (scratch.get_size() > 0) bind(DNNL_ARG_SCRATCHPAD, scratch, place.engine);
  }
  void run() override {
    for (std::size_t slot = 0; slot < bound_.size(); ++slot)
      bound_[slot].set_data_handle(pool_.get(slot, static_cast<std::int64_t>(bound_[slot].get_desc().get_size())));
    primitive_.execute(stream_, arguments_);
  }
  std::string describe() const override { return what_; }

 private:
  void bind(int name, const memory::desc& desc, const dnnl::engine& engine) {
    bound_.push_back(memory(desc, engine, DNNL_MEMORY_NONE));
    arguments_.emplace(name, bound_.back());  // shares the handle that `run` sets
  }

  dnnl::primitive primitive_;
  dnnl::stream stream_;
  OperandPool& pool_;
  std::vector<memory> bound_;
  std::unordered_map<int, memory> arguments_;
  std::string what_;
};

/// Keeps the fastest of what it is shown.
class Contest {
 public:
  explicit Contest(const Clock& clock) : clock_(clock) {}
  void enter(std::unique_ptr<LibraryContraction> candidate) {
    candidate->run();
    double best = std::numeric_limits<double>::max();
    for (int i = 0; i < 2; ++i) {
      const double start = clock_.now();
      candidate->run();
      best = std::min(best, clock_.now() - start);
      if (best > 2 * seconds_) break;
    }
    if (best >= seconds_) return;
    seconds_ = best;
    winner_ = std::move(candidate);
  }
  bool empty() const { return winner_ == nullptr; }
  std::unique_ptr<LibraryContraction> winner() { return std::move(winner_); }

 private:
  const Clock& clock_;
  double seconds_ = std::numeric_limits<double>::max();
  std::unique_ptr<LibraryContraction> winner_;
};

/// Enters every implementation of a primitive descriptor; the library's plain loops only where there is nothing else.
template <class Primitive, class Desc, class OperandsOf>
void enter_all(Contest& contest, Desc desc, const std::string& formats, const OperandsOf& operands,
               const Place& place) {
  do {
    const std::string_view name = desc.impl_info_str();
    if (name.starts_with("ref") && !contest.empty()) continue;
    contest.enter(std::make_unique<Candidate>(Primitive(desc), operands(desc), desc.scratchpad_desc(),
                                              fmt::format("{} {}", name, formats), place));
  } while (desc.next_impl());
}

dnnl::primitive_attr user_scratch() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

struct ConvolutionDescs {
  memory::desc x, w, y;
};

class ConvolutionContest {
 public:
  ConvolutionContest(const Graph& graph, const Node& node, const Types& types, const Place& place, Contest& contest)
      : node_(node), place_(place), contest_(contest), type_(types.operands) {
    const bool data = node.op == Op::conv_data_grad, filter = node.op == Op::conv_filter_grad;
    (data ? x_type_ : filter ? w_type_ : y_type_) = types.result;
    for (auto* t : {&x_type_, &w_type_, &y_type_})
      if (*t == memory::data_type::undef) *t = type_;
    x_ = dims_of(graph.type(data ? node.outputs[0] : node.inputs[0]).shape);
    w_ = dims_of(graph.type(filter ? node.outputs[0] : node.inputs[1]).shape);
    y_ = dims_of(graph.type(data ? node.inputs[0] : filter ? node.inputs[1] : node.outputs[0]).shape);
    const std::int64_t groups = node.attributes.integer("groups");
    if (groups > 1) {
      w_.insert(w_.begin() + 1, w_[0] / groups);
      w_[0] = groups;
    }
    for (auto& d : dilations_ = node.attributes.integers("dilations")) --d;
  }

  void run(dnnl::algorithm algorithm) {
    const tag last = x_.size() == 3 ? tag::nwc : x_.size() == 4 ? tag::nhwc : tag::ndhwc;
    const tag plain = x_.size() == 3 ? tag::ncw : x_.size() == 4 ? tag::nchw : tag::ncdhw;
    struct Format {
      const char* name;
      tag x, y;
    };
    for (const Format& f : {Format{"any", tag::any, tag::any}, Format{"channels-last", last, last},
                            Format{"row-major", plain, plain}, Format{"row-major input", plain, tag::any}}) {
      const ConvolutionDescs d{{x_, x_type_, f.x}, {w_, w_type_, tag::any}, {y_, y_type_, f.y}};
      try {
        enter(d, algorithm, f.name);
      } catch (const dnnl::error&) {
        continue;  // nothing with these formats
      }
    }
  }

 private:
  static memory::dims dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

  dnnl::convolution_forward::primitive_desc forward(const ConvolutionDescs& d, dnnl::algorithm algorithm) const {
    return {{dnnl::prop_kind::forward_training, algorithm, d.x, d.w, d.y, node_.attributes.integers("strides"),
             dilations_, node_.attributes.integers("pads_low"), node_.attributes.integers("pads_high")},
            user_scratch(),
            place_.engine};
  }

  void enter(const ConvolutionDescs& d, dnnl::algorithm algorithm, const char* formats) {
    const Attributes& a = node_.attributes;
    const auto& strides = a.integers("strides");
    const auto &low = a.integers("pads_low"), &high = a.integers("pads_high");
    if (node_.op == Op::conv_general) {
      enter_all<dnnl::convolution_forward>(
          contest_, forward(d, algorithm), formats,
          [](const auto& p) {
            return Operands{
                {DNNL_ARG_SRC, p.src_desc()}, {DNNL_ARG_WEIGHTS, p.weights_desc()}, {DNNL_ARG_DST, p.dst_desc()}};
          },
          place_);
    } else if (node_.op == Op::conv_data_grad) {
      const auto hint = forward({{x_, type_, tag::any}, {w_, type_, tag::any}, {y_, type_, tag::any}},
                                dnnl::algorithm::convolution_direct);
      enter_all<dnnl::convolution_backward_data>(
          contest_,
          dnnl::convolution_backward_data::primitive_desc({algorithm, d.x, d.w, d.y, strides, dilations_, low, high},
                                                          user_scratch(), place_.engine, hint),
          formats,
          [](const auto& p) {
            return Operands{{DNNL_ARG_DIFF_DST, p.diff_dst_desc()},
                            {DNNL_ARG_WEIGHTS, p.weights_desc()},
                            {DNNL_ARG_DIFF_SRC, p.diff_src_desc()}};
          },
          place_);
    } else {
      const auto hint = forward({{x_, type_, tag::any}, {w_, type_, tag::any}, {y_, type_, tag::any}},
                                dnnl::algorithm::convolution_direct);
      enter_all<dnnl::convolution_backward_weights>(
          contest_,
          dnnl::convolution_backward_weights::primitive_desc({algorithm, d.x, d.w, d.y, strides, dilations_, low, high},
                                                             user_scratch(), place_.engine, hint),
          formats,
          [](const auto& p) {
            return Operands{{DNNL_ARG_SRC, p.src_desc()},
                            {DNNL_ARG_DIFF_DST, p.diff_dst_desc()},
                            {DNNL_ARG_DIFF_WEIGHTS, p.diff_weights_desc()}};
          },
          place_);
    }
  }

  const Node& node_;
  const Place& place_;
  Contest& contest_;
  memory::data_type type_;  ///< of the operands
  memory::data_type x_type_ = memory::data_type::undef, w_type_ = x_type_, y_type_ = x_type_;
  memory::dims x_, w_, y_, dilations_;
};

std::int64_t product(const Shape& shape, const Dims& dims) {
  std::int64_t n = 1;
  for (const std::int64_t d : dims) n *= shape[static_cast<int>(d)];
  return n;
}

/// [batch, m, k] by [batch, k, n]: each operand as the library wants it, by rows, or transposed.
void matmul_contest(const Graph& graph, const Node& node, const Types& types, const Place& place, Contest& contest) {
  const Shape &x = graph.type(node.inputs[0]).shape, &y = graph.type(node.inputs[1]).shape;
  const std::int64_t batch = product(x, node.attributes.integers("x_batch"));
  const std::int64_t k = product(x, node.attributes.integers("x_contract"));
  if (batch == 0 || k == 0 || x.elements() == 0 || y.elements() == 0) return;
  const std::int64_t m = x.elements() / batch / k, n = y.elements() / batch / k;
  const auto desc = [&](std::int64_t rows, std::int64_t columns, tag batched, tag single, memory::data_type type) {
    return batch > 1 ? memory::desc({batch, rows, columns}, type, batched)
                     : memory::desc({rows, columns}, type, single);
  };
  for (const auto& [as, a1] : {std::pair{tag::any, tag::any}, {tag::abc, tag::ab}, {tag::acb, tag::ba}})
    for (const auto& [bs, b1] : {std::pair{tag::any, tag::any}, {tag::abc, tag::ab}, {tag::acb, tag::ba}}) {
      const std::string formats = fmt::format("{} {}",
                                              as == tag::any   ? "any"
                                              : as == tag::abc ? "rows"
                                                               : "columns",
                                              bs == tag::any   ? "any"
                                              : bs == tag::abc ? "rows"
                                                               : "columns");
      try {
        enter_all<dnnl::matmul>(
            contest,
            dnnl::matmul::primitive_desc({desc(m, k, as, a1, types.operands), desc(k, n, bs, b1, types.operands),
                                          desc(m, n, tag::abc, tag::ab, types.result)},
                                         user_scratch(), place.engine),
            formats,
            [](const auto& p) {
              return Operands{
                  {DNNL_ARG_SRC, p.src_desc()}, {DNNL_ARG_WEIGHTS, p.weights_desc()}, {DNNL_ARG_DST, p.dst_desc()}};
            },
            place);
      } catch (const dnnl::error&) {
        continue;
      }
    }
}

}  // namespace

std::string contraction_key(const Graph& graph, const Node& node) {
  Graph body;
  std::vector<ValueId> inputs;
  for (const ValueId v : node.inputs)
    inputs.push_back(body.add_input(std::to_string(inputs.size()), InputRole::feed, graph.type(v)));
  const NodeId n = body.append(node.op, inputs, node.attributes, {graph.type(node.outputs.at(0))});
  body.add_output("y", OutputRole::fetch, body.node(n).outputs[0]);
  KernelSpec spec;
  spec.body = std::move(body);
  return spec.key();
}

struct ContractionLibrary::State {
  OperandPool pool;
  Clock clock;
  dnnl::engine engine;
};

ContractionLibrary::ContractionLibrary(Device& device, const Clock& clock)
    : state_(new State{OperandPool(device), clock, dnnl::engine(dnnl::engine::kind::cpu, 0)}) {}
ContractionLibrary::~ContractionLibrary() = default;

std::unique_ptr<LibraryContraction> ContractionLibrary::best(const Graph& graph, const Node& node, bool winograd) {
  const auto type = type_of(graph.type(node.inputs.at(0)).dtype), to = type_of(graph.type(node.outputs.at(0)).dtype);
  if (!type || !to || graph.type(node.outputs[0]).shape.elements() == 0) return nullptr;
  const Place place{state_->engine, state_->pool, state_->clock};
  Contest contest(state_->clock);
  // A wide result may be that of an epilogue, which is rounded in the same kernel.
  const std::vector<Types> results =
      *type == *to ? std::vector<Types>{{*type, *to}} : std::vector<Types>{{*type, *to}, {*type, *type}};
  for (const Types& types : results) {
    if (node.op == Op::dot_general) {
      matmul_contest(graph, node, types, place, contest);
      continue;
    }
    ConvolutionContest convolution(graph, node, types, place, contest);
    convolution.run(dnnl::algorithm::convolution_direct);
    if (winograd) convolution.run(dnnl::algorithm::convolution_winograd);
  }
  return contest.winner();
}

}  // namespace weft::bench
