// Files of flight logs. A reader copies the file first: it may change under its hands, and be anything.
#include "src/faults/flight_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <span>

#include "src/faults/mapped_file.hpp"

namespace weft {

std::filesystem::path flight_path(const std::filesystem::path& run_folder, int rank) {
  return run_folder / "ranks" / fmt::format("{}.flight", rank);
}

std::shared_ptr<FlightLog> make_flight_log(const std::filesystem::path& run_folder, int rank, int ranks,
                                           std::uint64_t run) {
  return std::make_shared<FlightLog>(rank, ranks, run, map_new_file(flight_path(run_folder, rank), FlightLog::kBytes));
}

std::optional<RankFlight> read_flight_file(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return std::nullopt;
  std::ifstream stream(file, std::ios::binary);
  std::vector<std::byte> bytes(FlightLog::kBytes);
  if (!stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size())))
    return std::nullopt;
  return read_flight(bytes);
}

std::vector<RankFlight> read_flights(const std::filesystem::path& run_folder) {
  std::vector<RankFlight> all;
  std::uint64_t newest = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator it(run_folder / "ranks", error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().extension() != ".flight") continue;
    auto flight = read_flight_file(it->path());
    if (!flight || it->path().filename() != flight_path(run_folder, flight->rank).filename()) continue;
    newest = std::max(newest, flight->run);
    all.push_back(std::move(*flight));
  }
  std::erase_if(all, [&](const RankFlight& flight) { return flight.run != newest; });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
  return all;
}

std::string compare_flights(const std::filesystem::path& run_folder) noexcept {
  try {
    return first_flight_difference(read_flights(run_folder));
  } catch (const std::exception&) {
    return "";
  }
}

}  // namespace weft
