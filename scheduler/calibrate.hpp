// Calibration: times kernels, memory, collectives and storage through the interfaces of include/, so that any device
// and communicator can be measured. The clock of this machine is read here and nowhere else in scheduler/.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "weft/communicator.hpp"
#include "weft/device.hpp"
#include "weft/program.hpp"
#include "weft/site.hpp"

namespace weft {

struct CalibrateOptions {
  bool quick = false;              ///< fewer sizes and repetitions
  double seconds_a_sample = 0.03;  ///< each kernel and size is repeated for so long, and at least five times
  std::int64_t largest_message = 64LL << 20;
  /// Told of each part as it begins, on every rank: "convolutions".
  std::function<void(const std::string&)> progress = [](const std::string&) {};
};

/// Costs with all ranks of `comm` (on one node) at work at the same time, each on its own `device`. Kernel times are
/// means over ranks of each rank's median; a collective's are medians of the mean over ranks, as the OSU
/// micro-benchmarks report them. `measured_at` is left to the caller. Collective. Kernels that the device does not take
/// are left out.
Calibration calibrate(Device& device, Communicator& comm, const CalibrateOptions& options);

/// The part of it that times all-reduce, for 8 bytes up to options.largest_message, and what computation loses beside
/// one. Nothing is added for a single rank.
void calibrate_collectives(Device& device, Communicator& comm, const CalibrateOptions& options, Calibration& costs);

/// Times every kernel of `programs` in the order of the list and at its addresses in the arena, so that caches are as
/// they are in training, and puts the medians into `costs.kernels`. Operands hold numbers from 0.5 to 1 (integers: 0);
/// nothing is communicated. Collective.
void calibrate_programs(Device& device, Communicator& comm, std::span<const Program> programs,
                        const CalibrateOptions& options, Calibration& costs);

struct StorageRates {
  double read = 0, write = 0;  ///< bytes/s
};
/// Of a file of `bytes` bytes in `folder`, made for the purpose and removed: writing until it is flushed, and reading
/// after the page cache was asked to forget it. Throws SystemError when the folder cannot be written.
StorageRates measure_storage(const std::filesystem::path& folder, std::int64_t bytes);

}  // namespace weft
