// Choices as text, and which of them are tried.
#include "kernels/loops/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace weft::loops {
namespace {

constexpr int kMostDoublings = 2;
constexpr int kMostTileDoublings = 4;  // or halvings

}  // namespace

std::string choices_text(const RowsSchedule& schedule) {
  std::string text;
  const auto add = [&](const std::string& choice) { text += (text.empty() ? "" : " ") + choice; };
  if (schedule.lane_doublings > 0) add(fmt::format("lanes*{}", 1 << schedule.lane_doublings));
  const int tiles = schedule.tile_doublings;
  if (tiles != 0) add(fmt::format("tiles{}{}", tiles > 0 ? '*' : '/', 1 << std::abs(tiles)));
  if (schedule.streaming) add("streaming");
  return text.empty() ? "default" : text;
}

std::optional<RowsSchedule> schedule_from(std::string_view text, int register_bytes) {
  // There are few: the one that is written so is the one that is meant.
  for (int lanes = 0; lanes <= kMostDoublings; ++lanes)
    for (int tiles = -kMostTileDoublings; tiles <= kMostTileDoublings; ++tiles)
      for (const bool streaming : {false, true})
        if (const RowsSchedule s{register_bytes, lanes, tiles, streaming}; choices_text(s) == text) return s;
  return std::nullopt;
}

std::vector<RowsSchedule> alternatives(int register_bytes) {
  const int r = register_bytes;
  return {{r, 1, 0, false}, {r, 2, 0, false}, {r, 2, -2, false}, {r, 0, 2, false}, {r, 0, 0, true}};
}

RowsSchedule joined(const RowsSchedule& a, const RowsSchedule& b) {
  return {a.register_bytes, std::max(a.lane_doublings, b.lane_doublings),
          a.tile_doublings != 0 ? a.tile_doublings : b.tile_doublings, a.streaming || b.streaming};
}

}  // namespace weft::loops
