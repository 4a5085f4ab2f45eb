// gather, gather_nd, gather_elements: every run of the result is copied from its slot, or says that there is none.
#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/reference_routine.hpp"
#include "kernels/cpu/reference_slots.hpp"

namespace weft::cpu::reference {
namespace {

constexpr std::int64_t kRunsAtOnce = 256;  ///< runs whose slots are found together

class Gather final : public Routine {
 public:
  Gather(Slots slots, DType type, const Context& context)
      : slots_(std::move(slots)),
        size_(size_of(type)),
        missing_(Tensor::full(type, Shape{}, is_float(type) ? std::numeric_limits<double>::quiet_NaN() : 0)),
        threads_(context.threads) {}

  void run(const Buffers& buffers) const override {
    parallel_ranges(threads_, slots_.runs(), 1, slots_.runs() * slots_.run(),
                    [&](int, std::int64_t begin, std::int64_t end) {
                      std::int64_t slots[kRunsAtOnce];
                      for (std::int64_t at = begin; at < end; at += kRunsAtOnce) {
                        const std::int64_t count = std::min(kRunsAtOnce, end - at);
                        slots_.find(buffers.operands[1], at, at + count, slots);
                        copy(buffers.operands[0], slots, count, buffers.results[0] + offset(at));
                      }
                    });
  }

 private:
  std::size_t offset(std::int64_t run) const { return static_cast<std::size_t>(run * slots_.run()) * size_; }

  void copy(const std::byte* x, const std::int64_t* slots, std::int64_t count, std::byte* to) const {
    const std::size_t bytes = offset(1);
    switch (bytes) {  // single elements, mostly: no call to memcpy
      case 1: return copy_as<std::uint8_t>(x, slots, count, to);
      case 2: return copy_as<std::uint16_t>(x, slots, count, to);
      case 4: return copy_as<std::uint32_t>(x, slots, count, to);
      case 8: return copy_as<std::uint64_t>(x, slots, count, to);
      default: break;
    }
    for (std::int64_t i = 0; i < count; ++i, to += bytes)
      if (slots[i] >= 0)
        std::memcpy(to, x + offset(slots[i]), bytes);
      else
        fill_missing(to, 1);
  }

  template <class T>
  void copy_as(const std::byte* x, const std::int64_t* slots, std::int64_t count, std::byte* to) const {
    for (std::int64_t i = 0; i < count; ++i)
      if (slots[i] >= 0)
        std::memcpy(to + static_cast<std::size_t>(i) * sizeof(T), x + static_cast<std::size_t>(slots[i]) * sizeof(T),
                    sizeof(T));
      else
        fill_missing(to + static_cast<std::size_t>(i) * sizeof(T), 1);
  }

  void fill_missing(std::byte* to, std::int64_t runs) const {
    for (std::int64_t i = 0; i < runs * slots_.run(); ++i, to += size_) std::memcpy(to, missing_.data(), size_);
  }

  Slots slots_;
  std::size_t size_;
  Tensor missing_;  ///< what an index outside the range reads
  int threads_;
};

}  // namespace

std::unique_ptr<Routine> make_gather(const Problem& p) {
  const auto make = [&](Slots slots) {
    return std::make_unique<Gather>(std::move(slots), p.results[0].dtype, p.context);
  };
  const auto integer = [&](const char* name) { return static_cast<int>(p.attributes.integer(name)); };
  switch (p.op) {
    case Op::gather: return make(Slots::along_axis(p.operands[0].shape, integer("axis"), p.operands[1]));
    case Op::gather_nd: return make(Slots::by_tuples(p.operands[0].shape, integer("batch_dims"), p.operands[1]));
    case Op::gather_elements: return make(Slots::by_elements(p.operands[0].shape, integer("axis"), p.operands[1]));
    default: return nullptr;
  }
}

}  // namespace weft::cpu::reference
