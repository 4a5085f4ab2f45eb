// The background thread of a BatchReader: a ring of slots that it fills and the caller empties.
#include "src/data/batch_reader.hpp"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "src/data/batch_builder.hpp"
#include "weft/error.hpp"

namespace weft {

class BatchReader::Worker {
 public:
  explicit Worker(const ReaderOptions& options)
      : builder_(options),
        path_(options.path),
        timeout_(options.timeout_seconds),
        slots_(static_cast<std::size_t>(options.prefetch) + 1) {
    for (BatchSlot& slot : slots_) free_.push_back(&slot);
    thread_ = std::thread([this] { run(); });
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  const BatchBuilder& builder() const { return builder_; }

  void seek(std::int64_t epoch, std::int64_t batch) {
    const std::lock_guard lock(mutex_);
    ++generation_;
    epoch_ = epoch;
    batch_ = batch;
    error_ = nullptr;
    free_.insert(free_.end(), ready_.begin(), ready_.end());
    ready_.clear();
    changed_.notify_all();
  }

  const Batch& next() {
    std::unique_lock lock(mutex_);
    if (in_use_ != nullptr) free_.push_back(std::exchange(in_use_, nullptr));
    changed_.notify_all();
    const bool arrived = changed_.wait_for(lock, std::chrono::duration<double>(timeout_),
                                           [&] { return !ready_.empty() || error_ != nullptr; });
    if (!arrived)
      throw SystemError(
          fmt::format("{}: no batch could be read for {} s: the file system does not answer", path_, timeout_));
    if (ready_.empty()) std::rethrow_exception(error_);
    in_use_ = ready_.front();
    ready_.pop_front();
    return *in_use_->filled;
  }

 private:
  // One lock before and one after each batch; the building itself holds none.
  void run() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      if (free_.empty() || error_ != nullptr) {
        changed_.wait(lock);
        continue;
      }
      BatchSlot* slot = free_.front();
      free_.pop_front();
      const std::int64_t epoch = epoch_;
      const std::int64_t batch = batch_;
      const std::uint64_t generation = generation_;
      if (++batch_ == builder_.batches_per_epoch()) {
        batch_ = 0;
        ++epoch_;
      }
      lock.unlock();
      std::exception_ptr error;
      try {
        builder_.build(epoch, batch, *slot);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (generation != generation_ || error != nullptr) {
        free_.push_back(slot);
        if (generation == generation_) error_ = error;
      } else {
        ready_.push_back(slot);
      }
      changed_.notify_all();
    }
  }

  BatchBuilder builder_;  // used by the thread only, but for its constants
  std::string path_;
  double timeout_;
  std::vector<BatchSlot> slots_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<BatchSlot*> free_, ready_;
  BatchSlot* in_use_ = nullptr;
  std::exception_ptr error_;  // of the batch after those that are ready
  std::int64_t epoch_ = 0, batch_ = 0;
  std::uint64_t generation_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

BatchReader::BatchReader(const ReaderOptions& options) : worker_(std::make_unique<Worker>(options)) {}
BatchReader::~BatchReader() = default;
BatchReader::BatchReader(BatchReader&&) noexcept = default;
BatchReader& BatchReader::operator=(BatchReader&&) noexcept = default;

std::int64_t BatchReader::samples() const { return worker_->builder().samples(); }
std::int64_t BatchReader::batches_per_epoch() const { return worker_->builder().batches_per_epoch(); }

void BatchReader::seek(std::int64_t epoch, std::int64_t batch) {
  if (epoch < 0 || batch < 0 || batch > batches_per_epoch())
    throw UserError(fmt::format("epoch {}, batch {} is no position in data of {} batches an epoch", epoch, batch,
                                batches_per_epoch()));
  const bool wraps = batch == batches_per_epoch();
  worker_->seek(wraps ? epoch + 1 : epoch, wraps ? 0 : batch);
}

const Batch& BatchReader::next() { return worker_->next(); }

}  // namespace weft
