// The parts of a save, one after the other.
#include "src/checkpoint/save.hpp"

#include <chrono>

#include "comm/agreement.hpp"
#include "src/checkpoint/save_work.hpp"
#include "weft/error.hpp"

namespace weft {

SaveReport save_checkpoint(Communicator& comm, const std::filesystem::path& folder, const StateSource& states,
                           const CheckpointMeta& meta, FileSystem& files, int keep) {
  const auto start = std::chrono::steady_clock::now();
  SaveWork work(comm, folder, meta, files, keep);
  try {
    work.lay_out(states);
    const auto outcome = work.write_while_gathering(states);
    work.hear_hashes(together(comm, "checkpoint: write", outcome));
    together(comm, "checkpoint: verify", [&] { return work.verify(); });
    SaveReport report = work.report(on_rank_0(comm, "checkpoint: commit", [&] { return work.commit(); }));
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  } catch (Error& error) {
    work.discard();
    work.add_context(error);
    throw;
  }
}

}  // namespace weft
