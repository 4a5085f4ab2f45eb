// A future for each phase; the main thread is the only one that sends messages.
#include "src/checkpoint/async_save.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <new>

#include "comm/agreement.hpp"
#include "src/checkpoint/save_work.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

/// Where a core is wanted by both, steps come first: on Linux each thread has a niceness of its own.
constexpr int kWriterNiceness = 10;

void step_back() { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kWriterNiceness); }

}  // namespace

AsyncSave::AsyncSave(Communicator& comm, FileSystem& files, std::function<std::int64_t()> free_memory)
    : comm_(comm), files_(files), free_memory_(std::move(free_memory)) {}

AsyncSave::~AsyncSave() {
  if (!work_) return;
  work_->cancel();
  if (running_.valid()) running_.wait();
  give_up();
}

void AsyncSave::give_up() noexcept {
  work_->discard();
  work_.reset();
}

template <class Action>
auto AsyncSave::guarded(const Action& action) {
  try {
    return action();
  } catch (Error& error) {
    work_->add_context(error);
    give_up();
    throw;
  }
}

bool AsyncSave::all_have_memory(const StateSource& states) {
  std::int64_t total = 0;
  for (const StateItem& state : states)
    total += state.type.shape.elements() * static_cast<std::int64_t>(size_of(state.type.dtype));
  // Shares are even but for a piece.
  const std::int64_t needed = total / comm_.size() + kPieceBytes;
  bool enough = memory_bytes_ >= needed;
  // Half of what is free: others take some meanwhile, the file system's cache among them.
  if (!enough && needed <= free_memory_() / 2 / comm_.node_size()) {
    memory_.reset();
    memory_.reset(new (std::nothrow) std::byte[static_cast<std::size_t>(needed)]);  // taken as it is written
    enough = memory_ != nullptr;
    memory_bytes_ = enough ? needed : 0;
  }
  const auto verdicts = gather_bytes(comm_, std::as_bytes(std::span(&enough, 1)), "checkpoint: memory for a snapshot");
  return std::all_of(verdicts.begin(), verdicts.end(), [](const Bytes& v) { return v.at(0) != std::byte{0}; });
}

bool AsyncSave::begin(const std::filesystem::path& folder, const StateSource& states, const CheckpointMeta& meta,
                      int keep) {
  check_internal(!in_flight(), "two checkpoints are written at once");
  const auto start_time = Clock::now();
  if (!all_have_memory(states)) return false;
  work_ = std::make_unique<SaveWork>(comm_, folder, meta, files_, keep);
  guarded([&] {
    work_->lay_out(states);
    check_internal(work_->share_bytes() <= memory_bytes_, "a share of a checkpoint is larger than it should be");
    work_->take_snapshot(states, {memory_.get(), static_cast<std::size_t>(work_->share_bytes())});
  });
  spent_ = Clock::now() - start_time;
  start(Phase::write);
  return true;
}

void AsyncSave::start(Phase phase) {
  phase_ = phase;
  running_ = std::async(std::launch::async, [this, phase] {
    step_back();
    const auto start_time = Clock::now();
    Bytes result = phase == Phase::write    ? work_->write_snapshot()
                   : phase == Phase::verify ? work_->verify()
                                            : work_->commit();
    spent_ += Clock::now() - start_time;  // read when the future is ready
    return result;
  });
}

bool AsyncSave::busy() const {
  return running_.valid() && running_.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
}

std::optional<SaveReport> AsyncSave::poll() {
  check_internal(in_flight(), "no checkpoint is being written");
  return guarded([&] {
    const char* what = phase_ == Phase::write    ? "checkpoint: write"
                       : phase_ == Phase::verify ? "checkpoint: verify"
                                                 : "checkpoint: commit";
    return next(together(comm_, what, [this] { return running_.get(); }));
  });
}

std::optional<SaveReport> AsyncSave::next(const std::vector<Bytes>& results) {
  switch (phase_) {
    case Phase::write: work_->hear_hashes(results); return start(Phase::verify), std::nullopt;
    case Phase::verify: return start(Phase::commit), std::nullopt;
    case Phase::commit: break;
  }
  SaveReport report = work_->report(results.at(0));
  report.seconds = spent_.count();
  work_.reset();
  return report;
}

std::optional<SaveReport> AsyncSave::finish() {
  while (in_flight())
    if (auto report = poll()) return report;
  return std::nullopt;
}

}  // namespace weft
