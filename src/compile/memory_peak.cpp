// Live ranges of a Program's buffers, and printing.
#include "src/compile/memory_peak.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "src/run/text.hpp"

namespace weft {
namespace {

constexpr std::size_t kMostRows = 24;     ///< of the table for people
constexpr std::size_t kMostLetters = 44;  ///< of a name in it

struct Life {
  int first = -1, last = -1;
};

std::vector<Life> lives_of(const Program& p) {
  std::vector<Life> lives(p.buffers.size());
  const auto touch = [&](const View& v, int i) {
    if (v.buffer < 0) return;
    Life& life = lives[static_cast<std::size_t>(v.buffer)];
    if (life.first < 0) life.first = i;
    life.last = std::max(life.last, i);
  };
  for (int i = 0; i < static_cast<int>(p.instructions.size()); ++i) {
    const Instruction& here = p.instructions[static_cast<std::size_t>(i)];
    const Instruction& touching =
        here.kind == InstructionKind::wait ? p.instructions[static_cast<std::size_t>(here.waits.at(0))] : here;
    for (const View& v : touching.reads) touch(v, i);
    for (const View& v : touching.writes) touch(v, i);
    touch(here.scratch, i);
  }
  return lives;
}

const Instruction& instruction(const Program& p, int i) { return p.instructions[static_cast<std::size_t>(i)]; }

std::string type_in(const Program& p, int buffer, int maker) {
  const Instruction& i = instruction(p, maker);
  if (i.scratch.buffer == buffer) return "scratch";
  const View* widest = nullptr;
  for (const View& v : i.writes)
    if (v.buffer == buffer && (widest == nullptr || v.layout.bytes(v.dtype) > widest->layout.bytes(widest->dtype)))
      widest = &v;
  if (widest == nullptr) return "";
  return fmt::format("{}{}", name_of(widest->dtype),
                     widest->layout.is_row_major() ? widest->layout.shape.str() : widest->layout.str());
}

std::string maker_of(const Program& p, const LiveBuffer& b) {
  const Instruction& i = instruction(p, b.maker);
  return i.kernel >= 0 ? p.kernels[static_cast<std::size_t>(i.kernel)].implementation : "collective";
}

/// The end of a long name says more than its start.
std::string shortened(const std::string& name) {
  return name.size() <= kMostLetters ? name : "..." + name.substr(name.size() - kMostLetters + 3);
}

}  // namespace

MemoryPeak find_memory_peak(const Program& p) {
  const std::vector<Life> lives = lives_of(p);
  std::vector<std::int64_t> change(p.instructions.size() + 1, 0);
  const auto in_arena = [&](std::size_t b) { return p.buffers[b].kind == BufferKind::arena && lives[b].first >= 0; };
  for (std::size_t b = 0; b < lives.size(); ++b) {
    if (!in_arena(b)) continue;
    change[static_cast<std::size_t>(lives[b].first)] += p.buffers[b].bytes;
    change[static_cast<std::size_t>(lives[b].last) + 1] -= p.buffers[b].bytes;
  }
  MemoryPeak peak;
  std::int64_t live = 0;
  for (std::size_t i = 0; i < p.instructions.size(); ++i)
    if (live += change[i]; live > peak.bytes) peak.bytes = live, peak.instruction = static_cast<int>(i);
  for (std::size_t b = 0; b < lives.size(); ++b)
    if (in_arena(b) && lives[b].first <= peak.instruction && lives[b].last >= peak.instruction)
      peak.buffers.push_back({static_cast<int>(b), lives[b].first, lives[b].last,
                              type_in(p, static_cast<int>(b), lives[b].first), p.buffers[b].bytes});
  std::stable_sort(peak.buffers.begin(), peak.buffers.end(),
                   [](const LiveBuffer& a, const LiveBuffer& b) { return a.bytes > b.bytes; });
  return peak;
}

std::string peak_text(const Program& p) {
  const MemoryPeak peak = find_memory_peak(p);
  if (peak.instruction < 0) return {};
  std::string text = fmt::format("  most lives at instruction {} ({}): {:.2f} MiB in {} buffers\n", peak.instruction,
                                 instruction(p, peak.instruction).name, mebibytes(peak.bytes), peak.buffers.size());
  std::map<std::string, std::pair<std::int64_t, int>> makers;
  for (const LiveBuffer& b : peak.buffers) {
    auto& [bytes, count] = makers[maker_of(p, b)];
    bytes += b.bytes;
    ++count;
  }
  for (const auto& [maker, total] : makers)
    text += fmt::format("  {:>10.2f} MiB in {:>4} made by {}\n", mebibytes(total.first), total.second, maker);
  std::vector<std::vector<std::string>> rows;
  for (const LiveBuffer& b : peak.buffers) {
    if (rows.size() == kMostRows) break;
    rows.push_back({fmt::format("{:.2f}", mebibytes(b.bytes)),
                    shortened(p.buffers[static_cast<std::size_t>(b.buffer)].name), b.type, std::to_string(b.maker),
                    maker_of(p, b), std::to_string(b.last), shortened(instruction(p, b.last).name)});
  }
  text += format_table({"MiB", "alive then", "what", "made at", "by", "last read at", "by"}, rows);
  if (peak.buffers.size() > rows.size())
    text += fmt::format("... and {} smaller ones: --json lists all\n", peak.buffers.size() - rows.size());
  return text;
}

nlohmann::ordered_json peak_json(const Program& p) {
  const MemoryPeak peak = find_memory_peak(p);
  nlohmann::ordered_json out{
      {"instruction", peak.instruction}, {"bytes", peak.bytes}, {"buffers", nlohmann::ordered_json::array()}};
  for (const LiveBuffer& b : peak.buffers)
    out["buffers"].push_back({{"name", p.buffers[static_cast<std::size_t>(b.buffer)].name},
                              {"bytes", b.bytes},
                              {"type", b.type},
                              {"made_at", b.maker},
                              {"made_by", instruction(p, b.maker).name},
                              {"implementation", maker_of(p, b)},
                              {"last_read_at", b.last},
                              {"last_read_by", instruction(p, b.last).name}});
  return out;
}

}  // namespace weft
