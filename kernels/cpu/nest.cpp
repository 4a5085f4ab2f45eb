// Walking operands.
#include "kernels/cpu/nest.hpp"

#include <algorithm>
#include <cstring>

namespace weft::cpu {

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
