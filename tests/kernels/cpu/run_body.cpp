// Layout by layout copies through Layout::offset: slow and obvious.
#include "tests/kernels/cpu/run_body.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <new>

#include "weft/error.hpp"

namespace weft::testing {
namespace {

template <class Visit>
void each_index(const Shape& shape, Visit visit) {
  Dims index(shape.extents().size(), 0);
  for (std::int64_t i = 0; i < shape.elements(); ++i) {
    visit(i, index);
    for (std::size_t d = index.size(); d-- > 0;) {
      if (++index[d] < shape[static_cast<int>(d)]) break;
      index[d] = 0;
    }
  }
}

struct Free {
  void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{64}); }
};

}  // namespace

std::vector<std::byte> laid_out(const Tensor& from, const Layout& layout) {
  const std::size_t size = size_of(from.dtype());
  std::vector<std::byte> to(static_cast<std::size_t>(layout.bytes(from.dtype())));
  each_index(from.shape(), [&](std::int64_t i, const Dims& index) {
    std::memcpy(to.data() + static_cast<std::size_t>(layout.offset(index)) * size,
                from.data() + static_cast<std::size_t>(i) * size, size);
  });
  return to;
}

Tensor row_major(const std::byte* from, const Layout& layout, DType type) {
  Tensor to(type, layout.shape);
  const std::size_t size = size_of(type);
  std::byte* data = to.mutable_data();
  each_index(layout.shape, [&](std::int64_t i, const Dims& index) {
    std::memcpy(data + static_cast<std::size_t>(i) * size, from + static_cast<std::size_t>(layout.offset(index)) * size,
                size);
  });
  return to;
}

std::vector<Tensor> run_body(Device& device, const Graph& body, const std::vector<Tensor>& inputs,
                             std::string* implementation, const std::map<int, int>& over) {
  const KernelAnswer answer = device.oracle().ask(body);
  if (!answer.offer) {
    std::string text = "no kernel for:\n" + body.str();
    for (const KernelRefusal& r : answer.refusals) text += r.implementation + ": " + r.reason + "\n";
    throw InternalError(text);
  }
  const KernelSpec& spec = answer.offer->spec;
  if (implementation != nullptr) *implementation = spec.implementation;
  const auto kernel = device.compile(spec);
  std::vector<std::unique_ptr<std::byte, Free>> memory;
  std::vector<std::byte*> arguments;
  // Of the exact size and from the heap: the address sanitizer then sees what a kernel touches beyond its operands.
  const auto allocate = [&](std::int64_t bytes) {
    const auto size = static_cast<std::size_t>(bytes);
    memory.emplace_back(static_cast<std::byte*>(::operator new (size, std::align_val_t{64})));
    if (size > 0) std::memset(memory.back().get(), 0xa5, size);
    arguments.push_back(memory.back().get());
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto data = laid_out(inputs[i], *spec.body.value(spec.body.inputs()[i].value).layout);
    allocate(static_cast<std::int64_t>(data.size()));
    if (!data.empty()) std::memcpy(arguments.back(), data.data(), data.size());
  }
  for (std::size_t i = 0; i < spec.body.outputs().size(); ++i) {
    const GraphOutput& o = spec.body.outputs()[i];
    if (const auto it = over.find(static_cast<int>(i)); it != over.end()) {
      arguments.push_back(arguments[static_cast<std::size_t>(it->second)]);
      continue;
    }
    allocate(spec.body.value(o.value).layout->bytes(spec.body.type(o.value).dtype));
  }
  if (spec.scratch_bytes > 0) allocate(spec.scratch_bytes);
  device.launch(*kernel, arguments, Lane::compute);
  device.synchronize(Lane::compute);
  std::vector<Tensor> results;
  for (std::size_t o = 0; o < spec.body.outputs().size(); ++o) {
    const ValueId v = spec.body.outputs()[o].value;
    const Layout& layout = *spec.body.value(v).layout;
    results.push_back(row_major(arguments[inputs.size() + o], layout, spec.body.type(v).dtype));
    if (!layout.has_padding() || layout.storage_elements() == 0) continue;
    const auto whole = laid_out(results.back(), layout);
    EXPECT_EQ(std::memcmp(whole.data(), arguments[inputs.size() + o], whole.size()), 0)
        << "the padding of result " << o << " is not zero: " << layout.str();
  }
  return results;
}

}  // namespace weft::testing
