// Program invariants, text form and identity.
#include "weft/program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "weft/error.hpp"

namespace weft {
namespace {

constexpr const char* kKinds[] = {"kernel", "start", "wait", "copy", "if", "while"};
constexpr const char* kBufferKinds[] = {"arena", "state", "constant", "feed", "fetch"};
constexpr const char* kCollectives[] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                        "broadcast",  "send",       "receive"};
constexpr const char* kLanes[] = {"compute", "comm", "copy"};

std::string str(const Program& p, const View& v) {
  const Buffer& b = p.buffers.at(static_cast<std::size_t>(v.buffer));
  const std::string place = b.kind == BufferKind::arena ? fmt::format("@{}", b.offset + v.offset)
                            : v.offset != 0             ? fmt::format("{}+{}", b.name, v.offset)
                                                        : b.name;
  return fmt::format("{}:{}{}", place, name_of(v.dtype),
                     v.layout.is_row_major() ? v.layout.shape.str() : v.layout.str());
}

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t h = 1469598103934665603ull;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return h;
}

/// First and last instruction that touches each buffer; a collective's buffers live until its wait.
struct Range {
  int first = -1, last = -1;
  void touch(int at) {
    if (first < 0) first = at;
    last = std::max(last, at);
  }
};

std::vector<Range> live_ranges(const Program& p) {
  std::vector<Range> ranges(p.buffers.size());
  const auto touch = [&](const Instruction& i, int at) {
    for (const View& v : i.reads) ranges[static_cast<std::size_t>(v.buffer)].touch(at);
    for (const View& v : i.writes) ranges[static_cast<std::size_t>(v.buffer)].touch(at);
    if (i.scratch.buffer >= 0) ranges[static_cast<std::size_t>(i.scratch.buffer)].touch(at);
  };
  for (std::size_t n = 0; n < p.instructions.size(); ++n) {
    const Instruction& i = p.instructions[n];
    touch(i, static_cast<int>(n));
    if (i.kind == InstructionKind::wait)
      touch(p.instructions.at(static_cast<std::size_t>(i.waits.at(0))), static_cast<int>(n));
  }
  return ranges;
}

}  // namespace

int Program::find_buffer(std::string_view name, BufferKind kind) const {
  for (std::size_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].kind == kind && buffers[i].name == name) return static_cast<int>(i);
  return -1;
}

std::int64_t Program::resident_bytes() const {
  std::int64_t total = 0;
  for (const Buffer& b : buffers)
    if (b.kind != BufferKind::arena) total += b.bytes;
  return total;
}

void Program::verify() const {
  std::set<int> started, waited;
  for (std::size_t n = 0; n < instructions.size(); ++n) {
    const Instruction& i = instructions[n];
    const auto require = [&](bool holds, std::string_view what) {
      if (!holds) throw InternalError(fmt::format("program '{}', instruction {} ({}) {}", role, n, i.name, what));
    };
    const auto check_view = [&](const View& v) {
      require(v.buffer >= 0 && v.buffer < static_cast<int>(buffers.size()), "names no buffer");
      const Buffer& b = buffers[static_cast<std::size_t>(v.buffer)];
      if (v.offset < 0 || v.offset + v.layout.bytes(v.dtype) > b.bytes) require(false, "reaches outside " + b.name);
    };
    for (const View& v : i.reads) check_view(v);
    for (const View& v : i.writes) check_view(v);
    for (const int w : i.waits) require(w >= 0 && w < static_cast<int>(n), "waits for a later instruction");
    if (i.kind == InstructionKind::kernel)
      require(i.kernel >= 0 && i.kernel < static_cast<int>(kernels.size()), "names no kernel");
    if (i.kind == InstructionKind::collective_start) started.insert(static_cast<int>(n));
    if (i.kind == InstructionKind::wait)
      require(i.waits.size() == 1 && started.count(i.waits[0]) && waited.insert(i.waits[0]).second,
              "must wait for one collective, once");
  }
  check_internal(started == waited, "program '" + role + "' starts a collective that nothing waits for");

  const std::vector<Range> ranges = live_ranges(*this);
  std::vector<int> arena;
  for (std::size_t b = 0; b < buffers.size(); ++b)
    if (buffers[b].kind == BufferKind::arena && ranges[b].first >= 0 && buffers[b].bytes > 0)
      arena.push_back(static_cast<int>(b));
  std::sort(arena.begin(), arena.end(), [&](int a, int b) {
    return ranges[static_cast<std::size_t>(a)].first < ranges[static_cast<std::size_t>(b)].first;
  });
  std::vector<int> live;
  for (const int b : arena) {
    const Buffer& mine = buffers[static_cast<std::size_t>(b)];
    const Range& range = ranges[static_cast<std::size_t>(b)];
    std::erase_if(live, [&](int other) { return ranges[static_cast<std::size_t>(other)].last < range.first; });
    for (const int other : live) {
      const Buffer& theirs = buffers[static_cast<std::size_t>(other)];
      const bool apart = mine.space != theirs.space || mine.offset + mine.bytes <= theirs.offset ||
                         theirs.offset + theirs.bytes <= mine.offset;
      if (!apart)
        throw InternalError(fmt::format("program '{}': arena buffers '{}' and '{}' overlap while both are live", role,
                                        mine.name, theirs.name));
    }
    if (mine.offset % 64 != 0 || mine.offset + mine.bytes > arena_bytes[static_cast<int>(mine.space)])
      throw InternalError("arena buffer '" + mine.name + "' lies outside the arena");
    live.push_back(b);
  }
}

std::string Program::str() const {
  std::string text = fmt::format(
      "program \"{}\": {} instructions, {} kernels, arena {:.2f} MiB (liveness bound {:.2f} MiB), resident {:.2f} "
      "MiB\n",
      role, instructions.size(), kernels.size(),
      static_cast<double>(arena_bytes[0] + arena_bytes[1] + arena_bytes[2]) / 1048576.0,
      static_cast<double>(liveness_bound_bytes) / 1048576.0, static_cast<double>(resident_bytes()) / 1048576.0);
  for (const Buffer& b : buffers)
    if (b.kind != BufferKind::arena)
      text += fmt::format("  {} {} : {}{}\n", kBufferKinds[static_cast<int>(b.kind)], b.name, name_of(b.dtype),
                          b.layout.shape.str());
  for (std::size_t n = 0; n < instructions.size(); ++n) {
    const Instruction& i = instructions[n];
    std::vector<std::string> reads, writes;
    for (const View& v : i.reads) reads.push_back(weft::str(*this, v));
    for (const View& v : i.writes) writes.push_back(weft::str(*this, v));
    const std::string what = i.kind == InstructionKind::kernel
                                 ? kernels[static_cast<std::size_t>(i.kernel)].implementation
                             : i.kind == InstructionKind::collective_start
                                 ? fmt::format("{} #{} x{}", kCollectives[static_cast<int>(i.collective.kind)],
                                               i.collective.sequence, i.collective.count)
                                 : kKinds[static_cast<int>(i.kind)];
    text += fmt::format("{:5} {:7} {:28} {} <- {}{}  # {}\n", n, kLanes[static_cast<int>(i.lane)], what,
                        fmt::join(writes, ", "), fmt::join(reads, ", "),
                        i.waits.empty() ? "" : fmt::format("  waits [{}]", fmt::join(i.waits, ", ")), i.name);
  }
  return text;
}

std::string Program::collective_signature() const {
  std::string text;
  for (const Instruction& i : instructions)
    if (i.kind == InstructionKind::collective_start) {
      const CollectiveSpec& c = i.collective;
      text +=
          fmt::format("#{} {} over [{}] {} {} x{} root {}: {}\n", c.sequence, kCollectives[static_cast<int>(c.kind)],
                      fmt::join(c.axes, ","), static_cast<int>(c.reduce), name_of(c.dtype), c.count, c.root, i.name);
    }
  return text;
}

std::uint64_t Program::hash() const {
  // The text names every operand, layout and wait; kernels add their content keys. Names of instructions and arena
  // buffers are left out.
  std::string text;
  for (const KernelSpec& k : kernels) text += k.key() + "\n";
  for (const Instruction& i : instructions) {
    text += fmt::format("{}|{}|{}", static_cast<int>(i.kind), static_cast<int>(i.lane), i.kernel);
    for (const View& v : i.reads) text += " " + weft::str(*this, v);
    for (const View& v : i.writes) text += " >" + weft::str(*this, v);
    text += fmt::format(" w[{}]\n", fmt::join(i.waits, ","));
  }
  return fnv1a(text + collective_signature());
}

}  // namespace weft
