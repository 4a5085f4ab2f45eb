// Flight logs beside the rank records: runs/NAME/ranks/R.flight, of each rank's last communication operations.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/flight_log.hpp"

namespace weft {

std::filesystem::path flight_path(const std::filesystem::path& run_folder, int rank);

/// A log in a file of its own, made anew. `run` as LastOperationFile's. Throws SystemError.
std::shared_ptr<FlightLog> make_flight_log(const std::filesystem::path& run_folder, int rank, int ranks,
                                           std::uint64_t run);

/// Absent when it is none, or damaged.
std::optional<RankFlight> read_flight_file(const std::filesystem::path& file);

/// Of the newest start, by rank.
std::vector<RankFlight> read_flights(const std::filesystem::path& run_folder);

/// What first_flight_difference says of them; for MpiRuntime::set_flight_log. Never throws.
std::string compare_flights(const std::filesystem::path& run_folder) noexcept;

}  // namespace weft
