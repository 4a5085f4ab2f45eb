// What is free to choose when the loops of a kernel are cut: choices that change how fast it runs, and no bit of what
// it computes. Every sum keeps its terms and their order.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::loops {

/// The default is what is taken where nothing was measured.
struct RowsSchedule {
  int register_bytes = 64;  ///< natural width of a vector; the target's, not a choice

  int lane_doublings = 0;  ///< of vector loops over columns that are rows of their own; 0 to 2
  int tile_doublings = 0;  ///< of the height of tiles, where rows are walked tile by tile; -4 to 4
  bool streaming = false;  ///< results along the rows go past the caches

  auto operator<=>(const RowsSchedule&) const = default;
};

/// Of what choices mean. What was found for another version is not taken.
inline constexpr int kScheduleVersion = 1;

/// The choices: "default", or some of "lanes*2 tiles/4 streaming", "tiles*4".
std::string choices_text(const RowsSchedule& schedule);
/// The reverse, with the target's `register_bytes`; nullopt for any text that choices_text does not write.
std::optional<RowsSchedule> schedule_from(std::string_view text, int register_bytes);

/// What is worth trying beside the default: each measured faster on some kernel of a real training step. Kernels for
/// which one is no other than the default, or than one before, have the same loops for both.
std::vector<RowsSchedule> alternatives(int register_bytes);
/// The choices of both.
RowsSchedule joined(const RowsSchedule& a, const RowsSchedule& b);

}  // namespace weft::loops
