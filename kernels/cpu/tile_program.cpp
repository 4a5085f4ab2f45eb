// Slots, and evaluation of tiles.
#include "kernels/cpu/tile_program.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/cpu/scalar_ops.hpp"

namespace weft::cpu {
namespace {

constexpr std::size_t kSlotBytes = kTile * 8;

}  // namespace

void TileProgram::Scratch::Free::operator()(std::byte* p) const { std::free(p); }

TileProgram::Scratch::Scratch(const TileProgram& program)
    : memory_(static_cast<std::byte*>(
          std::aligned_alloc(64, kSlotBytes * static_cast<std::size_t>(program.slot_count_ + 2)))),
      pointers_(program.registers_.size(), nullptr),
      loaded_(program.loads_.size()) {
  if (!memory_) throw std::bad_alloc();
  // Constants are filled once, for ever: their slots are theirs alone.
  for (std::size_t r = 0; r < program.registers_.size(); ++r) {
    const TileRegister& reg = program.registers_[r];
    if (reg.kind != RegisterKind::constant) continue;
    std::byte* to = program.slot(*this, static_cast<int>(r));
    const std::size_t size = reg.constant.bytes();
    for (std::int64_t i = 0; i < kTile; ++i)
      std::memcpy(to + static_cast<std::size_t>(i) * size, reg.constant.data(), size);
    pointers_[r] = to;
  }
}

void TileProgram::Scratch::begin() { std::fill(loaded_.begin(), loaded_.end(), Loaded{}); }

TileProgram::TileProgram(const TileGraph& graph, std::vector<Walk> operands, std::vector<Walk> iotas,
                         std::vector<Output> outputs, const TileOps& ops)
    : registers_(graph.registers()), steps_(graph.steps()), outputs_(std::move(outputs)), roots_(graph.roots()) {
  for (std::size_t r = 0; r < registers_.size(); ++r) {
    const TileRegister& reg = registers_[r];
    const auto index = static_cast<std::size_t>(reg.index);
    if (reg.kind == RegisterKind::operand) {
      TileFn widen = nullptr;
      if (reg.type == DType::bf16) widen = ops.bf16_to_f32;
      if (reg.type == DType::f16) widen = scalar_cast(DType::f16, DType::f32);
      loads_.push_back({graph.operands()[index].argument, reg.type, operands[index], static_cast<int>(r), widen});
    } else if (reg.kind == RegisterKind::iota) {
      counts_.push_back({iotas[index], static_cast<int>(r), scalar_cast(DType::i64, compute_type(reg.type))});
    }
  }
  for (const Output& o : outputs_)
    narrow_.push_back(o.type == DType::bf16  ? ops.f32_to_bf16
                      : o.type == DType::f16 ? scalar_cast(DType::f32, DType::f16)
                                             : nullptr);
  plan_slots();
  plan_outputs();
}

DType TileProgram::root_type(std::size_t index) const {
  return registers_[static_cast<std::size_t>(roots_[index])].type;
}

/// Registers that are never live together share a slot; operands, iotas and constants have their own.
void TileProgram::plan_slots() {
  slots_.assign(registers_.size(), -1);
  std::vector<int> last(registers_.size(), -1);
  for (std::size_t s = 0; s < steps_.size(); ++s)
    for (int i = 0; i < steps_[s].arity; ++i) last[static_cast<std::size_t>(steps_[s].in[i])] = static_cast<int>(s);
  for (const int root : roots_) last[static_cast<std::size_t>(root)] = static_cast<int>(steps_.size());
  for (std::size_t r = 0; r < registers_.size(); ++r)
    if (registers_[r].kind != RegisterKind::step) slots_[r] = slot_count_++;
  std::vector<int> free;
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    const auto out = static_cast<std::size_t>(steps_[s].out);
    if (free.empty())
      slots_[out] = slot_count_++;
    else
      slots_[out] = free.back(), free.pop_back();
    // Freed after the result has its slot: sizes may differ, and a step may not overwrite what it still reads.
    for (int i = 0; i < steps_[s].arity; ++i) {
      const auto in = static_cast<std::size_t>(steps_[s].in[i]);
      const bool again = std::find(steps_[s].in, steps_[s].in + i, steps_[s].in[i]) != steps_[s].in + i;
      if (!again && registers_[in].kind == RegisterKind::step && last[in] == static_cast<int>(s))
        free.push_back(slots_[in]);
    }
  }
}

/// A step may write its output in place once no later step reads an operand from memory: results may lie over operands.
void TileProgram::plan_outputs() {
  direct_.assign(steps_.size(), -1);
  int last_read = -1;
  for (std::size_t s = 0; s < steps_.size(); ++s)
    for (int i = 0; i < steps_[s].arity; ++i)
      if (registers_[static_cast<std::size_t>(steps_[s].in[i])].kind == RegisterKind::operand)
        last_read = static_cast<int>(s);
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    if (narrow_[o] != nullptr) continue;
    for (const Output& other : outputs_)  // an output that is an operand itself is read at the very end
      if (registers_[static_cast<std::size_t>(roots_[static_cast<std::size_t>(other.root)])].kind ==
          RegisterKind::operand)
        return;
    for (std::size_t s = 0; s < steps_.size(); ++s)
      if (steps_[s].out == roots_[static_cast<std::size_t>(outputs_[o].root)] && static_cast<int>(s) >= last_read)
        direct_[s] = static_cast<int>(o);
  }
}

std::byte* TileProgram::slot(const Scratch& scratch, int reg) const {
  return scratch.memory_.get() + kSlotBytes * static_cast<std::size_t>(slots_[static_cast<std::size_t>(reg)]);
}

void TileProgram::evaluate(Scratch& scratch, std::span<std::byte* const> arguments, std::int64_t at,
                           std::int64_t count) const {
  std::byte* spare = scratch.memory_.get() + kSlotBytes * static_cast<std::size_t>(slot_count_);
  for (std::size_t l = 0; l < loads_.size(); ++l) {
    const Load& load = loads_[l];
    const std::size_t size = size_of(load.type);
    const std::byte* base = arguments[load.argument];
    const auto reg = static_cast<std::size_t>(load.reg);
    const bool contiguous = load.walk.contiguous(at, count);
    if (contiguous && load.widen == nullptr) {
      scratch.pointers_[reg] = base + static_cast<std::size_t>(load.walk.offset(at)) * size;
      continue;
    }
    std::byte* to = slot(scratch, load.reg);
    scratch.pointers_[reg] = to;
    const std::int64_t phase = load.walk.phase(at, count);
    Scratch::Loaded& loaded = scratch.loaded_[l];
    if (phase >= 0 && phase == loaded.phase && count <= loaded.count) continue;
    loaded = {phase, count};
    const std::byte* source = base + static_cast<std::size_t>(contiguous ? load.walk.offset(at) : 0) * size;
    if (!contiguous) {
      std::byte* raw = load.widen != nullptr ? spare : to;
      load.walk.load(base, size, at, count, raw);
      source = raw;
    }
    if (load.widen != nullptr) {
      const void* in[] = {source};
      load.widen(in, to, count);
    }
  }
  for (const Count& c : counts_) {
    std::byte* to = slot(scratch, c.reg);
    c.walk.offsets(at, count, reinterpret_cast<std::int64_t*>(spare));
    const void* in[] = {spare};
    c.convert(in, to, count);
    scratch.pointers_[static_cast<std::size_t>(c.reg)] = to;
  }
  for (std::size_t s = 0; s < steps_.size(); ++s) {
    const TileStep& step = steps_[s];
    const void* in[3];
    for (int i = 0; i < step.arity; ++i) in[i] = scratch.pointers_[static_cast<std::size_t>(step.in[i])];
    std::byte* to = slot(scratch, step.out);
    if (direct_[s] >= 0) {
      const Output& o = outputs_[static_cast<std::size_t>(direct_[s])];
      if (o.walk.contiguous(at, count))
        to = arguments[o.argument] + static_cast<std::size_t>(o.walk.offset(at)) * size_of(o.type);
    }
    step.fn(in, to, count);
    scratch.pointers_[static_cast<std::size_t>(step.out)] = to;
  }
  for (std::size_t o = 0; o < outputs_.size(); ++o) {
    const Output& out = outputs_[o];
    const std::size_t size = size_of(out.type);
    const void* from = root(scratch, static_cast<std::size_t>(out.root));
    const bool contiguous = out.walk.contiguous(at, count);
    std::byte* to =
        contiguous ? arguments[out.argument] + static_cast<std::size_t>(out.walk.offset(at)) * size : nullptr;
    if (narrow_[o] != nullptr) {
      narrow_[o](&from, contiguous ? to : spare, count);
      from = spare;
      if (contiguous) continue;
    }
    if (contiguous) {
      if (from != to) std::memcpy(to, from, static_cast<std::size_t>(count) * size);
    } else {
      out.walk.store(static_cast<const std::byte*>(from), size, at, count, arguments[out.argument]);
    }
  }
}

}  // namespace weft::cpu
