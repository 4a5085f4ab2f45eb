// Operands are plain and strided: transposed ones are read as they lie. The right operand, where it is one matrix, may
// also be blocked; left free it is what the library likes best, so that who multiplies by it often reorders it once.
// Other free operands and results are row-major. Operands of which each element is multiplied often are first copied in
// the library's order, into scratch (pack_matrix.hpp): it packs them itself, but again for every block of the result.
#include "kernels/cpu/onednn_matmul.hpp"

#include <fmt/format.h>

#include <utility>

#include "kernels/cpu/dot_dims.hpp"
#include "kernels/cpu/epilogue.hpp"
#include "kernels/cpu/onednn.hpp"
#include "kernels/cpu/pack_matrix.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

using dnnl::memory;

/// A batch of matrices in memory: [batch..., rows, columns].
struct Matrices {
  memory::dims dims, strides;
};

struct Problem {
  std::string refusal, what;
  const Node* root = nullptr;
  ValueId x = kNone, y = kNone, result = kNone, bias = kNone, residual = kNone;
  bool relu = false;
  DotDims dims;
  Matrices a, b, c, r;
  bool free_y = false;              ///< the library chooses how the right operand lies
  std::optional<Layout> blocked_y;  ///< [k, n], where it has blocks
};

/// The layout of a matrix seen as its transpose.
Layout transposed(const Layout& layout) {
  Layout result{Shape{layout.shape[1], layout.shape[0]}, {layout.strides[1], layout.strides[0]}, layout.blocks};
  for (Layout::Block& b : result.blocks) b.dimension = 1 - b.dimension;
  return result;
}

bool contracts_rows(const DotDims& d) { return d.y_contract.at(0) == 0; }

Layout layout_or_dense(const Graph& body, ValueId v) { return body.layout(v); }

/// Batch dimensions one by one, then the two merged runs. A refusal says which operand and why.
std::string matrices(const Layout& layout, const Dims& batch, const Dims& rows, const Dims& columns, bool result,
                     Matrices& out) {
  if (!layout.blocks.empty()) return "wants a plain layout, given " + layout.str();
  const std::optional<Run> r = merge_dims(layout, rows), c = merge_dims(layout, columns);
  if (!r || !c) return "its dimensions cannot be walked as a matrix in " + layout.str();
  for (const std::int64_t d : batch)
    if (layout.shape[static_cast<int>(d)] > 1) {
      out.dims.push_back(layout.shape[static_cast<int>(d)]);
      out.strides.push_back(layout.strides[static_cast<std::size_t>(d)]);
    }
  std::int64_t rs = r->stride, cs = c->stride;
  if (c->extent == 1) cs = r->extent > 1 && rs == 1 ? r->extent : 1;
  if (r->extent == 1) rs = cs == 1 ? c->extent : 1;
  const bool by_rows = cs == 1 && rs >= c->extent;
  const bool by_columns = rs == 1 && cs >= r->extent && !result;
  if (!by_rows && !by_columns)
    return result ? "the result must be written by rows, asked for " + layout.str()
                  : "neither rows nor columns are contiguous in " + layout.str();
  out.dims.insert(out.dims.end(), {r->extent, c->extent});
  out.strides.insert(out.strides.end(), {rs, cs});
  return {};
}

Dims iota_dims(std::size_t from, std::size_t count) {
  Dims d(count);
  for (std::size_t i = 0; i < count; ++i) d[i] = static_cast<std::int64_t>(from + i);
  return d;
}

Problem read_problem(const Graph& body) {
  Problem p;
  const ContractionBody c = match_contraction(body, Op::dot_general);
  if (!c.refusal.empty()) {
    p.refusal = c.refusal;
    return p;
  }
  p.root = c.root;
  p.x = c.root->inputs[0], p.y = c.root->inputs[1], p.result = body.outputs()[0].value;
  p.bias = c.bias, p.residual = c.residual, p.relu = c.relu;
  p.dims = dot_dims(body, *c.root);
  const DType t = body.type(p.x).dtype;
  p.what = fmt::format("dot_general of {} and {}", body.type(p.x).str(), body.type(p.y).str());
  if (t != DType::f32 && t != DType::bf16) p.refusal = fmt::format("{} is not supported", name_of(t));
  const DType result = body.type(p.result).dtype;
  if (result != t && result != DType::f32) p.refusal = fmt::format("a result of {}", name_of(result));
  for (const ValueId v : {p.bias, p.residual})
    if (v != kNone && body.type(v).dtype != DType::f32 && body.type(v).dtype != t)
      p.refusal = fmt::format("an addend of {}", name_of(body.type(v).dtype));
  if (p.dims.batch == 0 || p.dims.m == 0 || p.dims.n == 0 || p.dims.k == 0) p.refusal = "an operand without elements";
  if (p.bias != kNone && (p.dims.y_free.size() != 1 || c.bias_dim != body.type(p.result).shape.rank() - 1))
    p.refusal = "the bias is not along the last dimension";
  if (!p.refusal.empty()) return p;
  const auto add = [&](const char* name, std::string why) {
    if (!why.empty() && p.refusal.empty()) p.refusal = fmt::format("{}: {}", name, why);
  };
  const DotDims& d = p.dims;
  const std::size_t nb = d.x_batch.size(), nm = d.x_free.size(), nn = d.y_free.size();
  add("left operand", matrices(layout_or_dense(body, p.x), d.x_batch, d.x_free, d.x_contract, false, p.a));
  const auto& given = body.value(p.y).layout;
  const bool one_matrix = nb == 0 && d.y_contract.size() == 1 && nn == 1;
  p.free_y = one_matrix && !given && d.k > 1 && d.n > 1;
  if (one_matrix && given && !given->blocks.empty()) {
    p.blocked_y = contracts_rows(d) ? *given : transposed(*given);
    p.b.dims = {d.k, d.n};
  } else {
    add("right operand", matrices(layout_or_dense(body, p.y), d.y_batch, d.y_contract, d.y_free, false, p.b));
  }
  const Dims cb = iota_dims(0, nb), cm = iota_dims(nb, nm), cn = iota_dims(nb + nm, nn);
  add("result", matrices(layout_or_dense(body, p.result), cb, cm, cn, true, p.c));
  if (p.residual != kNone) add("residual", matrices(layout_or_dense(body, p.residual), cb, cm, cn, true, p.r));
  if (p.refusal.empty() && p.relu && body.layout(p.result).storage_elements() != body.type(p.result).shape.elements())
    p.refusal = "relu over a result with gaps";
  if (p.refusal.empty() && p.c.dims.size() > 12) p.refusal = "more than ten batch dimensions";
  return p;
}

memory::desc desc_of(const Matrices& m, DType type) { return {m.dims, *onednn_type(type), m.strides}; }

struct Descs {
  dnnl::matmul::primitive_desc primitive;
  memory::desc a, b, c, bias, residual;
  std::int64_t scratch = 0;  ///< of the library
  bool transpose_a = false;
  std::optional<BlockedMatrix> pack_b;
  std::int64_t a_bytes = 0, b_bytes = 0;  ///< of the copies
};

// Measured, 16-bit numbers: packing on the right pays where each meets more than about a thousand others, transposing
// on the left where sums are long, too: a short one the library transposes in one piece. Neither pays in f32. Copies
// stay small beside what a step keeps in memory.
constexpr std::int64_t kRightUses = 1024, kLeftUses = 768, kLongSum = 1024, kMostPacked = std::int64_t{16} << 20;

bool worth_copying(std::int64_t elements, std::int64_t uses, std::int64_t least, DType type) {
  return type == DType::bf16 && uses >= least && elements * 2 <= kMostPacked;
}

PlainMatrix plain_matrix(const Matrices& m) {
  const bool by_rows = m.strides[1] == 1;
  return {m.dims[0], m.dims[1], by_rows ? m.strides[0] : m.strides[1], by_rows};
}

std::int64_t whole_lines(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

/// `packs`: the right operand may be copied.
Descs create(const Problem& p, const Graph& body, const dnnl::engine& engine, bool packs = true) {
  const DType t = body.type(p.x).dtype;
  Descs d;
  d.a = desc_of(p.a, t), d.c = desc_of(p.c, body.type(p.result).dtype);
  d.b = p.free_y ? onednn_any(Shape(p.b.dims), t) : p.blocked_y ? onednn_desc(*p.blocked_y, t) : desc_of(p.b, t);
  const DotDims& dims = p.dims;
  const bool plain_b = !p.free_y && !p.blocked_y && p.b.dims.size() == 2;
  d.transpose_a = p.a.dims.size() == 2 && p.a.strides[1] != 1 && dims.k >= kLongSum &&
                  worth_copying(dims.m * dims.k, dims.n, kLeftUses, t);
  if (d.transpose_a) d.a = memory::desc({dims.m, dims.k}, *onednn_type(t), memory::format_tag::ab);
  const bool pack_b =
      plain_b && packs && dims.n > 1 && dims.k > 1 && worth_copying(dims.k * dims.n, dims.m, kRightUses, t);
  if (pack_b) d.b = onednn_any(Shape(p.b.dims), t);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (p.residual != kNone) {
    d.residual = desc_of(p.r, body.type(p.residual).dtype);
    dnnl::post_ops ops;
    ops.append_binary(dnnl::algorithm::binary_add, d.residual);
    attr.set_post_ops(ops);
  }
  if (p.bias != kNone) {
    Matrices bias;
    for (std::size_t i = 1; i < p.c.dims.size(); ++i) bias.dims.push_back(1), bias.strides.push_back(p.dims.n);
    bias.dims.push_back(p.dims.n), bias.strides.push_back(1);
    d.bias = desc_of(bias, body.type(p.bias).dtype);
    d.primitive = {{d.a, d.b, d.bias, d.c}, attr, engine};
  } else {
    d.primitive = {{d.a, d.b, d.c}, attr, engine};
  }
  d.b = d.primitive.weights_desc();
  if (pack_b) {
    if (const auto layout = layout_of(d.b)) d.pack_b = blocked_matrix(*layout);
    if (!d.pack_b) return create(p, body, engine, false);
    d.b_bytes = static_cast<std::int64_t>(d.b.get_size());
  }
  if (d.transpose_a) d.a_bytes = static_cast<std::int64_t>(d.a.get_size());
  d.scratch = static_cast<std::int64_t>(d.primitive.scratchpad_desc().get_size());
  return d;
}

/// Scratch: the library's, then copies of the right and of the left operand.
std::int64_t scratch_of(const Descs& d) { return whole_lines(d.scratch) + whole_lines(d.b_bytes) + d.a_bytes; }

/// A product behind copies of its operands.
class PackedProduct final : public CpuKernel {
 public:
  /// The primitive takes the copies as two more arguments, right and left, after the kernel's last: scratch.
  PackedProduct(std::unique_ptr<CpuKernel> product, const Problem& p, const Descs& d, const Graph& body, int threads)
      : product_(std::move(product)),
        x_(argument_of(body, p.x)),
        y_(argument_of(body, p.y)),
        right_(d.pack_b),
        transposes_(d.transpose_a),
        first_(whole_lines(d.scratch)),
        second_(first_ + whole_lines(d.b_bytes)),
        threads_(threads) {
    if (right_) b_ = plain_matrix(p.b);
    if (!transposes_) return;
    a_ = plain_matrix(p.a);
    a_.by_rows = true;
    std::swap(a_.rows, a_.columns);  // as it lies
  }

  void run(std::span<std::byte* const> arguments) const override {
    std::vector<std::byte*> all(arguments.begin(), arguments.end());
    std::byte* const scratch = arguments.back();
    all.insert(all.end(), {scratch + first_, scratch + second_});
    if (right_) pack_blocks(arguments[y_], b_, scratch + first_, *right_, threads_);
    if (transposes_) transpose_matrix(arguments[x_], a_, scratch + second_, threads_);
    product_->run(all);
  }

 private:
  std::unique_ptr<CpuKernel> product_;
  std::size_t x_, y_;
  std::optional<BlockedMatrix> right_;
  PlainMatrix b_, a_;
  bool transposes_;
  std::int64_t first_, second_;
  int threads_;
};

}  // namespace

Claim claim_matmul(const Graph& body, const Context& context) {
  Problem p = read_problem(body);
  if (!p.refusal.empty()) return Claim::refuse(p.refusal);
  try {
    Graph chosen = body;
    Descs d = create(p, body, context.onednn->engine);
    if (const auto y = p.free_y ? layout_of(d.b) : std::nullopt; y && !y->blocks.empty())
      chosen.value(p.y).layout = contracts_rows(p.dims) ? *y : transposed(*y);
    else if (std::exchange(p.free_y, false))
      d = create(p, body, context.onednn->engine);
    if (quality_of(d.primitive) == 0) return Claim::refuse("the library would run its plain loops");
    KernelSpec spec = row_major_spec(chosen, "onednn.matmul");
    spec.scratch_bytes = scratch_of(d);
    spec.flops = 2.0 * static_cast<double>(p.dims.batch) * static_cast<double>(p.dims.m) *
                 static_cast<double>(p.dims.n) * static_cast<double>(p.dims.k);
    return Claim::take(std::move(spec));
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) rethrow_onednn(error, p.what);
    return Claim::refuse(fmt::format("the library has no implementation ({})", error.what()));
  }
}

std::unique_ptr<CpuKernel> compile_matmul(const KernelSpec& spec, const Context& context) {
  const Graph& body = spec.body;
  const Problem p = read_problem(body);
  check_internal(p.refusal.empty(), "matmul compiled without a claim: " + p.refusal);
  return onednn_call(p.what, [&] {
    const Descs d = create(p, body, context.onednn->engine);
    check_internal(scratch_of(d) <= spec.scratch_bytes, "matmul needs more scratch than was planned");
    const bool copies = d.pack_b || d.transpose_a;
    const std::size_t scratch = body.inputs().size() + body.outputs().size();
    std::vector<PrimitiveKernel::Binding> bindings{
        {DNNL_ARG_SRC, d.transpose_a ? scratch + 2 : argument_of(body, p.x), d.a},
        {DNNL_ARG_WEIGHTS, d.pack_b ? scratch + 1 : argument_of(body, p.y), d.b},
        {DNNL_ARG_DST, argument_of(body, p.result), d.c}};
    if (p.bias != kNone) bindings.push_back({DNNL_ARG_BIAS, argument_of(body, p.bias), d.bias});
    if (p.residual != kNone)
      bindings.push_back(
          {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, argument_of(body, p.residual), d.residual});
    if (d.scratch > 0)
      bindings.push_back(
          {DNNL_ARG_SCRATCHPAD, scratch, memory::desc({d.scratch}, memory::data_type::u8, memory::format_tag::a)});
    PrimitiveKernel::Options options;
    options.what = p.what;
    options.scratch = d.scratch;
    if (p.relu) {
      options.relu_elements = body.type(p.result).shape.elements();
      options.relu_argument = argument_of(body, p.result);
      options.relu_type = body.type(p.result).dtype;
    }
    std::unique_ptr<CpuKernel> product =
        std::make_unique<PrimitiveKernel>(dnnl::matmul(d.primitive), bindings, std::move(options), context);
    if (!copies) return product;
    product = std::make_unique<PackedProduct>(std::move(product), p, d, body, context.threads);
    return product;
  });
}

}  // namespace weft::cpu
