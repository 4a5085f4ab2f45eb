// Loops from layouts, collapsing, and walking operands.
#include "kernels/cpu/nest.hpp"

#include <algorithm>
#include <cstring>

namespace weft::cpu {

std::vector<Loop> loops_of(const Layout& layout) {
  std::vector<Loop> outer;
  for (int d = 0; d < layout.shape.rank(); ++d)
    outer.push_back({d, layout.padded(d) / layout.block_of(d), layout.block_of(d), -1});
  std::stable_sort(outer.begin(), outer.end(), [&](const Loop& a, const Loop& b) {
    if ((a.extent == 1) != (b.extent == 1)) return a.extent == 1;
    return layout.strides[static_cast<std::size_t>(a.dimension)] >
           layout.strides[static_cast<std::size_t>(b.dimension)];
  });
  for (std::size_t i = 0; i < layout.blocks.size(); ++i) {
    std::int64_t weight = 1;
    for (std::size_t j = i + 1; j < layout.blocks.size(); ++j)
      if (layout.blocks[j].dimension == layout.blocks[i].dimension) weight *= layout.blocks[j].size;
    outer.push_back({layout.blocks[i].dimension, layout.blocks[i].size, weight, static_cast<int>(i)});
  }
  return outer;
}

Layout same_order(const Layout& other, const Shape& shape) {
  // Where an extent is 1 the order of the loops does not say where its dimension lies.
  if (other.is_row_major()) return Layout::dense(shape);
  Layout result{shape, Dims(shape.extents().size(), 1), other.blocks};
  std::int64_t stride = 1;
  for (const Layout::Block& b : other.blocks) stride *= b.size;
  const std::vector<Loop> loops = loops_of(other);
  for (auto it = loops.rbegin(); it != loops.rend(); ++it) {
    if (it->block >= 0) continue;
    result.strides[static_cast<std::size_t>(it->dimension)] = stride;
    stride *= std::max<std::int64_t>(result.padded(it->dimension) / result.block_of(it->dimension), 1);
  }
  return result;
}

std::optional<Dims> strides_in(const std::vector<Loop>& loops, const Layout& layout, const DimMap& map) {
  Dims result;
  // Inner strides of the value's own blocks, and the loop blocks that they must pair with, in order by dimension.
  std::vector<std::int64_t> block_stride(layout.blocks.size(), 1);
  for (std::size_t i = layout.blocks.size(); i-- > 1;) block_stride[i - 1] = block_stride[i] * layout.blocks[i].size;
  std::vector<std::size_t> next(layout.shape.extents().size(), 0);  // position in blocks, by dimension
  std::size_t paired = 0;
  for (const Loop& loop : loops) {
    int own = -1;
    for (std::size_t e = 0; e < map.size(); ++e)
      if (map[e] == loop.dimension) own = static_cast<int>(e);
    if (own < 0 || layout.shape[own] == 1) {
      result.push_back(0);
      continue;
    }
    const auto e = static_cast<std::size_t>(own);
    if (layout.block_of(own) == 1) {
      result.push_back(layout.strides[e] * loop.weight);
    } else if (loop.block < 0) {
      if (loop.weight != layout.block_of(own)) return std::nullopt;
      result.push_back(layout.strides[e]);
    } else {
      std::size_t& i = next[e];
      while (i < layout.blocks.size() && layout.blocks[i].dimension != own) ++i;
      if (i == layout.blocks.size() || layout.blocks[i].size != loop.extent) return std::nullopt;
      result.push_back(block_stride[i++]);
      ++paired;
    }
  }
  for (const Layout::Block& b : layout.blocks)
    if (layout.shape[b.dimension] > 1) {
      if (paired == 0) return std::nullopt;
      --paired;
    }
  return result;
}

Dims index_strides(const std::vector<Loop>& loops, int dimension) {
  Dims result;
  for (const Loop& loop : loops) result.push_back(loop.dimension == dimension ? loop.weight : 0);
  return result;
}

std::int64_t Nest::elements() const {
  std::int64_t total = 1;
  for (const std::int64_t e : extents) total *= e;
  return total;
}

void Nest::collapse() {
  Dims extents_out;
  std::vector<Dims> strides_out(strides.size());
  std::vector<bool> kept_out;
  for (std::size_t l = 0; l < extents.size(); ++l) {
    if (extents[l] == 1) continue;
    bool merge = !extents_out.empty() && (kept.empty() || kept_out.back() == kept[l]);
    for (std::size_t o = 0; merge && o < strides.size(); ++o)
      merge = strides_out[o].back() == strides[o][l] * extents[l];
    if (merge) {
      extents_out.back() *= extents[l];
      for (std::size_t o = 0; o < strides.size(); ++o) strides_out[o].back() = strides[o][l];
    } else {
      extents_out.push_back(extents[l]);
      if (!kept.empty()) kept_out.push_back(kept[l]);
      for (std::size_t o = 0; o < strides.size(); ++o) strides_out[o].push_back(strides[o][l]);
    }
  }
  extents = std::move(extents_out);
  strides = std::move(strides_out);
  kept = std::move(kept_out);
}

Walk::Walk(const Nest& nest, std::size_t operand) : extents_(nest.extents), strides_(nest.strides[operand]) {
  // The operand's own collapse: its runs may be longer than the nest's innermost loop.
  for (std::size_t l = extents_.size(); l-- > 1;)
    if (strides_[l - 1] == strides_[l] * extents_[l]) {
      extents_[l - 1] *= extents_[l];
      strides_[l - 1] = strides_[l];
      extents_.erase(extents_.begin() + static_cast<std::ptrdiff_t>(l));
      strides_.erase(strides_.begin() + static_cast<std::ptrdiff_t>(l));
    }
  for (const std::int64_t s : strides_) uniform_ = uniform_ && s == 0;
  if (extents_.empty()) {
    run_ = 1;
    return;
  }
  if (strides_.back() == 1) run_ = extents_.back();
  if (strides_.back() == 0) {
    period_ = 1, repeat_ = extents_.back();
  } else if (extents_.size() >= 2 && strides_[strides_.size() - 2] == 0) {
    period_ = extents_.back(), repeat_ = period_ * extents_[extents_.size() - 2];
  }
}

std::int64_t Walk::offset(std::int64_t at) const {
  std::int64_t result = 0;
  for (std::size_t l = extents_.size(); l-- > 0;) {
    result += at % extents_[l] * strides_[l];
    at /= extents_[l];
  }
  return result;
}

std::int64_t Walk::phase(std::int64_t at, std::int64_t count) const {
  if (uniform_) return 0;
  if (period_ == 0 || at % repeat_ + count > repeat_) return -1;
  return at / repeat_ * period_ + at % period_;
}

template <class Visit>
void Walk::each_run(std::int64_t at, std::int64_t count, Visit visit) const {
  if (extents_.empty()) {
    visit(std::int64_t{0}, count, std::int64_t{0});
    return;
  }
  const std::size_t inner = extents_.size() - 1;
  std::int64_t position = at % extents_[inner], outer = at / extents_[inner];
  // Offset and counters of the outer loops, carried from run to run.
  constexpr std::size_t kMostLoops = 64;
  std::int64_t index[kMostLoops];
  std::int64_t base = 0;
  for (std::size_t l = inner; l-- > 0;) {
    index[l] = outer % extents_[l];
    outer /= extents_[l];
    base += index[l] * strides_[l];
  }
  while (count > 0) {
    const std::int64_t length = std::min(count, extents_[inner] - position);
    visit(base + position * strides_[inner], length, strides_[inner]);
    count -= length;
    position = 0;
    for (std::size_t l = inner; l-- > 0;) {
      base += strides_[l];
      if (++index[l] < extents_[l]) break;
      base -= strides_[l] * extents_[l];
      index[l] = 0;
    }
  }
}

namespace {

template <class T>
void load_run(const T* from, std::int64_t stride, std::int64_t count, T* to) {
  if (stride == 1)
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
  else if (stride == 0)
    std::fill_n(to, count, *from);
  else
    for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * stride];
}

template <class F>
void by_size(std::size_t size, F f) {
  switch (size) {
    case 1: f(std::uint8_t{}); break;
    case 2: f(std::uint16_t{}); break;
    case 4: f(std::uint32_t{}); break;
    default: f(std::uint64_t{}); break;
  }
}

}  // namespace

void Walk::load(const std::byte* from, std::size_t size, std::int64_t at, std::int64_t count, std::byte* to) const {
  by_size(size, [&]<class T>(T) {
    const T* source = reinterpret_cast<const T*>(from);
    T* out = reinterpret_cast<T*>(to);
    if (period_ > 1 && count > period_ && at % repeat_ + count <= repeat_) {
      // One period, then copies of what is there, doubling.
      const std::int64_t start = at / repeat_ * repeat_, shift = at % period_;
      for (std::int64_t i = 0; i < period_; ++i) out[i] = source[offset(start + (shift + i) % period_)];
      for (std::int64_t done = period_; done < count;) {
        const std::int64_t more = std::min(done, count - done);
        std::memcpy(out + done, out, static_cast<std::size_t>(more) * sizeof(T));
        done += more;
      }
      return;
    }
    each_run(at, count, [&](std::int64_t offset_of_run, std::int64_t length, std::int64_t stride) {
      load_run(source + offset_of_run, stride, length, out);
      out += length;
    });
  });
}

void Walk::store(const std::byte* from, std::size_t size, std::int64_t at, std::int64_t count, std::byte* to) const {
  by_size(size, [&]<class T>(T) {
    const T* source = reinterpret_cast<const T*>(from);
    T* out = reinterpret_cast<T*>(to);
    each_run(at, count, [&](std::int64_t offset_of_run, std::int64_t length, std::int64_t stride) {
      T* target = out + offset_of_run;
      if (stride == 1)
        std::memcpy(target, source, static_cast<std::size_t>(length) * sizeof(T));
      else
        for (std::int64_t i = 0; i < length; ++i) target[i * stride] = source[i];
      source += length;
    });
  });
}

void Walk::offsets(std::int64_t at, std::int64_t count, std::int64_t* to) const {
  each_run(at, count, [&](std::int64_t offset_of_run, std::int64_t length, std::int64_t stride) {
    for (std::int64_t i = 0; i < length; ++i) *to++ = offset_of_run + i * stride;
  });
}

}  // namespace weft::cpu
