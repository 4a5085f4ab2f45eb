// Checkpoints of states of GPT-2 small's size (124 million parameters and two moments of each: 1.5 GB), cut over ranks.
//
//     mpirun -n 2 bench_checkpoint FOLDER [whole|rows|columns]
//
// Seconds, from rank 0: a save that waits; beginning one that does not (what a step waits for) and the rest of it; and
// loading. The folder's file system is what is measured, its flushes above all: say which it is.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

#include "comm/mpi/mpi_runtime.hpp"
#include "src/checkpoint/async_save.hpp"
#include "src/checkpoint/load.hpp"
#include "src/checkpoint/save.hpp"
#include "tests/support/host_device.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(Communicator& comm, const std::function<void()>& work) {
  barrier(comm, "start");
  const auto begin = Clock::now();
  work();
  barrier(comm, "end");
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// How a weight [rows, columns] lies; vectors and what `cut` leaves whole lie on all ranks.
Placement placement_of(const Shape& shape, const std::string& cut, int ranks) {
  if (cut == "whole" || shape.rank() < 2) return {};
  const int d = cut == "rows" ? 0 : 1;
  const std::int64_t blocks = d == 1 && shape[1] == 3 * shape[0] ? 3 : 1;  // fused query, key and value weights
  return {{{AxisPlacement::Kind::split, d, split_evenly(shape[d] / blocks, ranks), blocks}}};
}

void add_states(StateTable& table, Communicator& comm, const std::string& cut) {
  const Mesh mesh{{{"tensor", comm.size()}}};
  std::vector<std::pair<std::string, Shape>> weights{{"wte", {50257, 768}}, {"wpe", {1024, 768}}};
  for (int layer = 0; layer < 12; ++layer) {
    const std::string prefix = fmt::format("h{}.", layer);
    weights.insert(weights.end(), {{prefix + "attn", {768, 2304}},
                                   {prefix + "proj", {768, 768}},
                                   {prefix + "fc", {768, 3072}},
                                   {prefix + "out", {3072, 768}},
                                   {prefix + "norms", {13 * 768}}});
  }
  for (const auto& [name, shape] : weights)
    for (const char* slot : {"", "optimizer/exp_avg/", "optimizer/exp_avg_sq/"}) {
      // Pages that were never written would be read as one page of zeros.
      const InitialValue value(DType::f32, shape, [](std::int64_t offset, std::span<std::byte> to) {
        for (std::size_t i = 0; i < to.size(); ++i)
          to[i] = static_cast<std::byte>((offset + static_cast<std::int64_t>(i)) * 2654435761 >> 13);
      });
      table.add(slot + name, value, StateScope::lasting,
                shard_of({DType::f32, shape}, placement_of(shape, cut, comm.size()), mesh, comm.rank()));
    }
}

int run(Communicator& comm, const std::filesystem::path& folder, const std::string& cut) {
  testing::HostDevice device;
  StateTable table(device);
  add_states(table, comm, cut);
  PosixFileSystem files;
  const StateSource states = states_of(table, {});
  CheckpointMeta meta;
  meta.step = 1;
  SaveReport report;
  for (int round = 0; round < 3; ++round) {
    const double waiting = seconds_of(comm, [&] { report = save_checkpoint(comm, folder, states, meta, files, 1); });
    AsyncSave save(comm, files, [] { return std::int64_t{1} << 40; });
    const double begin = seconds_of(comm, [&] { save.begin(folder, states, meta, 1); });
    const double rest = seconds_of(comm, [&] { save.finish(); });
    LoadedCheckpoint checkpoint;
    const double check = seconds_of(comm, [&] { checkpoint = load_checkpoint(comm, files, report.path); });
    const double read = seconds_of(comm, [&] { restore(comm, files, table, checkpoint); });
    if (comm.rank() == 0)
      fmt::print("{} ranks, {:7}: {:.2f} GB; save {:.2f} s; begin {:.2f}, rest {:.2f} s; check {:.2f}, read {:.2f} s\n",
                 comm.size(), cut, static_cast<double>(report.bytes) / 1e9, waiting, begin, rest, check, read);
  }
  return 0;
}

}  // namespace
}  // namespace weft

int main(int argc, char** argv) {
  try {
    const std::string cut = argc > 2 ? argv[2] : "whole";
    if (argc < 2 || (cut != "whole" && cut != "rows" && cut != "columns"))
      throw weft::UserError("usage: bench_checkpoint FOLDER [whole|rows|columns]");
    weft::MpiRuntime runtime(weft::detect_launch());
    return weft::run(*runtime.world(), argv[1], cut);
  } catch (const weft::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
