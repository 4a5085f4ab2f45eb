// Text for people: quantities with units, durations, aligned tables.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weft {

inline double mebibytes(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }
std::string format_bytes(double bytes);       ///< "1.50 GiB", "812 B"
std::string format_count(double count);       ///< "950", "12.3k", "4.10M"
std::string format_duration(double seconds);  ///< "850 ms", "12.3 s", "3:07", "2:05:09", "3 d 04:00"
std::string format_number(double value);      ///< four significant digits: "0.4312", "1.2e-05", "nan"

/// Rows of cells in columns two spaces apart. A column whose cells below the heading all look like numbers is aligned
/// to the right. Rows may be shorter than the heading. Ends with a newline.
std::string format_table(const std::vector<std::string>& heading, const std::vector<std::vector<std::string>>& rows);
/// "name   value" lines.
std::string format_pairs(const std::vector<std::pair<std::string, std::string>>& pairs);

}  // namespace weft
