// From indices to slots, for every type of index.
#include "kernels/cpu/reference_slots.hpp"

#include "weft/error.hpp"

namespace weft::cpu::reference {
namespace {}  // namespace

Slots Slots::along_axis(const Shape& x, int axis, const TensorType& indices) {
  Slots s;
  s.index_type_ = indices.dtype;
  s.period_ = indices.shape.elements();
  s.pitch_ = x[axis];
  s.runs_ = x.elements(0, axis) * s.period_;
  s.run_ = x.elements(axis + 1, x.rank());
  s.slots_ = x.elements(0, axis + 1);
  s.extents_ = {x[axis]};
  s.strides_ = {1};
  return s;
}

Slots Slots::by_tuples(const Shape& x, int batch_dims, const TensorType& indices) {
  Slots s;
  s.kind_ = Kind::tuples;
  s.index_type_ = indices.dtype;
  const int last = indices.shape.rank() - 1, named = batch_dims + static_cast<int>(indices.shape[last]);
  s.period_ = indices.shape.elements(batch_dims, last);
  s.pitch_ = x.elements(batch_dims, named);
  s.runs_ = indices.shape.elements(0, last);
  s.run_ = x.elements(named, x.rank());
  s.slots_ = x.elements(0, named);
  for (int d = batch_dims; d < named; ++d) {
    s.extents_.push_back(x[d]);
    s.strides_.push_back(x.elements(d + 1, named));
  }
  return s;
}

Slots Slots::by_elements(const Shape& x, int axis, const TensorType& indices) {
  Slots s;
  s.kind_ = Kind::elements;
  s.index_type_ = indices.dtype;
  s.runs_ = indices.shape.elements();
  s.slots_ = x.elements();
  s.index_extents_ = indices.shape.extents();
  s.index_strides_ = x.row_major_strides();
  const auto a = static_cast<std::size_t>(axis);
  s.extents_ = {x[axis]};
  s.strides_ = {s.index_strides_[a]};
  s.index_strides_[a] = 0;
  return s;
}

template <class Index>
void Slots::find_as(const Index* indices, std::int64_t begin, std::int64_t end, std::int64_t* to) const {
  const std::size_t tuple = extents_.size();
  std::int64_t period = begin / period_, within = begin % period_;
  for (std::int64_t i = begin; i < end; ++i) {
    // Along an axis every period reads the same indices; tuples go on.
    const Index* at = indices + static_cast<std::size_t>(kind_ == Kind::axis ? within : i) * tuple;
    std::int64_t slot = period * pitch_;
    for (std::size_t t = 0; t < tuple; ++t) {
      const auto index = static_cast<std::int64_t>(at[t]);
      if (index < 0 || index >= extents_[t]) {
        slot = -1;
        break;
      }
      slot += index * strides_[t];
    }
    *to++ = slot;
    if (++within == period_) within = 0, ++period;
  }
}

template <class Index>
void Slots::find_elements(const Index* indices, std::int64_t begin, std::int64_t end, std::int64_t* to) const {
  Dims at(index_extents_.size());
  std::int64_t base = 0, rest = begin;
  for (std::size_t d = at.size(); d-- > 0;) {
    at[d] = rest % index_extents_[d];
    rest /= index_extents_[d];
    base += at[d] * index_strides_[d];
  }
  for (std::int64_t i = begin; i < end; ++i) {
    const auto index = static_cast<std::int64_t>(indices[i]);
    *to++ = index < 0 || index >= extents_[0] ? -1 : base + index * strides_[0];
    for (std::size_t d = at.size(); d-- > 0;) {
      base += index_strides_[d];
      if (++at[d] < index_extents_[d]) break;
      base -= index_strides_[d] * index_extents_[d];
      at[d] = 0;
    }
  }
}

void Slots::find(const std::byte* indices, std::int64_t begin, std::int64_t end, std::int64_t* to) const {
  if (begin >= end) return;
  visit_dtype(index_type_, [&]<class Index>(TypeTag<Index>) {
    if constexpr (std::is_integral_v<Index>) {
      const Index* values = reinterpret_cast<const Index*>(indices);
      kind_ == Kind::elements ? find_elements(values, begin, end, to) : find_as(values, begin, end, to);
    } else {
      throw InternalError("indices that are not integers");
    }
  });
}

}  // namespace weft::cpu::reference
