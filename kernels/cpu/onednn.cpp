// Descriptors, layouts, errors and launches of oneDNN primitives.
#include "kernels/cpu/onednn.hpp"

#include <fmt/format.h>

#include <cstring>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/tile_ops.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

using dnnl::memory;

memory::dims dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

memory::dims grouped_dims(const Shape& shape, std::int64_t groups) {
  if (groups == 1) return dims_of(shape);
  memory::dims dims{groups, shape[0] / groups};
  for (int d = 1; d < shape.rank(); ++d) dims.push_back(shape[d]);
  return dims;
}

/// `rest` with its first entry replaced by two.
Dims with_front(std::int64_t first, std::int64_t second, const Dims& rest) {
  Dims result{first, second};
  for (std::size_t i = 1; i < rest.size(); ++i) result.push_back(rest[i]);
  return result;
}

memory::data_type must_type(DType type) {
  const auto t = onednn_type(type);
  check_internal(t.has_value(), "oneDNN: unsupported element type");
  return *t;
}

/// Fills the library's blocked descriptor by hand: strides and blocks are ours, one to one.
memory::desc blocked_desc(const memory::dims& dims, const memory::dims& padded, const Dims& strides,
                          const std::vector<Layout::Block>& blocks, memory::data_type type) {
  memory::desc desc(dims, type, memory::format_tag::any);  // the checked constructors know plain strides only
  dnnl_memory_desc_t& d = desc.data;
  d.format_kind = dnnl_blocked;
  for (std::size_t i = 0; i < dims.size(); ++i) d.padded_dims[i] = padded[i];
  dnnl_blocking_desc_t& b = d.format_desc.blocking;
  for (std::size_t i = 0; i < dims.size(); ++i) b.strides[i] = strides[i];
  b.inner_nblks = static_cast<int>(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    b.inner_blks[i] = blocks[i].size;
    b.inner_idxs[i] = blocks[i].dimension;
  }
  return desc;
}

/// The library's usual activation formats, so that equal placements get the descriptor it recognises at once.
std::vector<memory::format_tag> usual_tags(int rank) {
  using tag = memory::format_tag;
  switch (rank) {
    case 1: return {tag::a};
    case 2: return {tag::ab, tag::ba};
    case 3: return {tag::abc, tag::acb, tag::aBc16b, tag::aBc8b};
    case 4: return {tag::abcd, tag::acdb, tag::aBcd16b, tag::aBcd8b};
    case 5: return {tag::abcde, tag::acdeb, tag::aBcde16b, tag::aBcde8b};
    default: return {};
  }
}

}  // namespace

std::optional<memory::data_type> onednn_type(DType type) {
  switch (type) {
    case DType::f32: return memory::data_type::f32;
    case DType::bf16: return memory::data_type::bf16;
    case DType::f16: return memory::data_type::f16;
    case DType::i32: return memory::data_type::s32;
    case DType::i8: return memory::data_type::s8;
    case DType::u8: return memory::data_type::u8;
    default: return std::nullopt;
  }
}

memory::desc onednn_desc(const Layout& layout, DType type) {
  const memory::data_type t = must_type(type);
  if (layout.shape.rank() == 0) return memory::desc({1}, t, memory::format_tag::a);
  const memory::dims dims = dims_of(layout.shape);
  for (const memory::format_tag tag : usual_tags(layout.shape.rank())) {
    const memory::desc candidate(dims, t, tag);
    const std::optional<Layout> usual = layout_of(candidate);
    if (usual && *usual == layout) return candidate;
  }
  for (const memory::format_tag tag : usual_tags(layout.shape.rank())) {
    const memory::desc candidate(dims, t, tag);
    const std::optional<Layout> usual = layout_of(candidate);
    if (usual && usual->same_placement(layout)) return candidate;
  }
  memory::dims padded;
  for (int d = 0; d < layout.shape.rank(); ++d) padded.push_back(layout.padded(d));
  return blocked_desc(dims, padded, layout.strides, layout.blocks, t);
}

memory::desc onednn_any(const Shape& shape, DType type) {
  return memory::desc(dims_of(shape), must_type(type), memory::format_tag::any);
}

std::optional<Layout> layout_of(const memory::desc& desc) {
  const dnnl_memory_desc_t& d = desc.data;
  if (d.format_kind != dnnl_blocked || d.extra.flags != dnnl_memory_extra_flag_none || d.offset0 != 0)
    return std::nullopt;
  Layout layout{Shape(Dims(d.dims, d.dims + d.ndims)), {}, {}};
  const dnnl_blocking_desc_t& b = d.format_desc.blocking;
  for (int i = 0; i < d.ndims; ++i) layout.strides.push_back(b.strides[i]);
  for (int i = 0; i < b.inner_nblks; ++i) layout.blocks.push_back({static_cast<int>(b.inner_idxs[i]), b.inner_blks[i]});
  for (int i = 0; i < d.ndims; ++i)
    if (layout.padded(i) != d.padded_dims[i] || d.padded_offsets[i] != 0) return std::nullopt;
  return layout;
}

std::optional<memory::desc> onednn_weights_desc(const Layout& layout, DType type, std::int64_t groups) {
  if (groups == 1) return onednn_desc(layout, type);
  const memory::dims dims = grouped_dims(layout.shape, groups);
  const std::int64_t per_group = dims[1], block = layout.block_of(0);
  Dims strides = layout.strides;
  std::vector<Layout::Block> blocks = layout.blocks;
  for (Layout::Block& b : blocks) b.dimension += b.dimension > 0 || per_group > 1 ? 1 : 0;
  memory::dims padded = dims;
  for (int d = 1; d < layout.shape.rank(); ++d) padded[static_cast<std::size_t>(d) + 1] = layout.padded(d);
  if (per_group == 1) {
    padded[0] = layout.padded(0);
    strides = with_front(layout.strides[0], 1, layout.strides);
  } else {
    if (per_group % block != 0) return std::nullopt;
    strides = with_front(per_group / block * layout.strides[0], layout.strides[0], layout.strides);
  }
  return blocked_desc(dims, padded, strides, blocks, must_type(type));
}

memory::desc onednn_weights_any(const Shape& shape, DType type, std::int64_t groups) {
  return memory::desc(grouped_dims(shape, groups), must_type(type), memory::format_tag::any);
}

std::optional<Layout> weights_layout_of(const memory::desc& desc, const Shape& shape, std::int64_t groups) {
  std::optional<Layout> grouped = layout_of(desc);
  if (!grouped || groups == 1) return grouped;
  const std::int64_t per_group = grouped->shape[1];
  const int dropped = per_group == 1 ? 1 : 0;
  const std::int64_t block = grouped->block_of(1);
  if (grouped->block_of(dropped) != 1) return std::nullopt;
  if (per_group > 1 && (per_group % block != 0 || grouped->strides[0] != per_group / block * grouped->strides[1]))
    return std::nullopt;
  Layout layout{shape, {grouped->strides[per_group == 1 ? 0 : 1]}, {}};
  for (std::size_t i = 2; i < grouped->strides.size(); ++i) layout.strides.push_back(grouped->strides[i]);
  for (const Layout::Block& b : grouped->blocks) layout.blocks.push_back({std::max(b.dimension - 1, 0), b.size});
  return layout;
}

int quality_of(const dnnl::primitive_desc_base& descriptor) {
  const std::string_view name = descriptor.impl_info_str();
  if (name.starts_with("ref") || name.find(":ref") != std::string_view::npos) return 0;
  return name.find("gemm") != std::string_view::npos && name.find("brgemm") == std::string_view::npos ? 1 : 2;
}

void rethrow_onednn(const dnnl::error& error, const std::string& what) {
  if (error.status == dnnl_out_of_memory) throw SystemError("oneDNN: out of memory in " + what);
  throw InternalError(
      fmt::format("oneDNN: {} failed: {} (status {})", what, error.what(), static_cast<int>(error.status)));
}

std::shared_ptr<const OnednnEngine> make_onednn_engine() {
  return onednn_call("opening the CPU engine", [] {
    // The library's own cache, shared by the whole process, hands out primitives that point at the engine they were
    // first made for, alive or not.
    dnnl::set_primitive_cache_capacity(0);
    return std::make_shared<const OnednnEngine>(OnednnEngine{dnnl::engine(dnnl::engine::kind::cpu, 0)});
  });
}

PrimitiveKernel::PrimitiveKernel(dnnl::primitive primitive, const std::vector<Binding>& bindings, Options options,
                                 const Context& context)
    : engine_(context.onednn->engine),
      primitive_(std::move(primitive)),
      stream_(engine_),
      options_(std::move(options)),
      context_(context) {
  for (const Binding& b : bindings) {
    memory m(b.desc, engine_, DNNL_MEMORY_NONE);
    bound_.push_back({m, b.argument});
    arguments_.emplace(b.slot, m);  // shares the handle that `run` sets
  }
}

void PrimitiveKernel::run(std::span<std::byte* const> arguments) const {
  onednn_call(options_.what, [&] {
    for (Bound& b : bound_) b.memory.set_data_handle(arguments[b.argument]);
    primitive_.execute(stream_, arguments_);
  });
  if (options_.relu_elements > 0) {
    // The library's own relu turns NaN into 0, which would hide a diverged run; ours keeps it.
    const TileOps& ops = *context_.tiles;
    std::byte* data = arguments[options_.relu_argument];
    parallel_ranges(context_.threads, options_.relu_elements, 1024, options_.relu_elements,
                    [&](int, std::int64_t begin, std::int64_t end) {
                      if (options_.relu_type == DType::bf16)
                        return ops.relu_bf16(reinterpret_cast<std::uint16_t*>(data) + begin, end - begin);
                      float* x = reinterpret_cast<float*>(data) + begin;
                      ops.relu(x, x, end - begin);
                    });
  }
}

}  // namespace weft::cpu
