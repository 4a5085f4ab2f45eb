// BatchBuilder: makes one rank's part of one batch, synchronously. BatchReader runs it ahead in a thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "src/data/batch_reader.hpp"
#include "src/data/sample_source.hpp"
#include "src/data/sample_transform.hpp"
#include "src/hdf5/hdf5_file.hpp"

namespace weft {

/// Buffers for a batch, kept for reuse: one Batch for each local size (whole and last of an epoch).
struct BatchSlot {
  std::map<std::int64_t, Batch> by_count;
  Batch* filled = nullptr;
};

class BatchBuilder {
 public:
  explicit BatchBuilder(ReaderOptions options);

  const ReaderOptions& options() const { return options_; }
  std::int64_t samples() const { return samples_; }
  std::int64_t batches_per_epoch() const { return (samples_ - 1) / options_.batch + 1; }

  /// Fills `slot` with batch `index` of `epoch`. Allocates only for a local size that the slot has not seen.
  void build(std::int64_t epoch, std::int64_t index, BatchSlot& slot);

 private:
  struct Feed {
    SampleTransform transform;
    std::size_t source = 0;
  };
  void check_augmentation() const;

  void open_feeds();
  std::size_t source_of(const std::string& dataset, std::int64_t& memory_left);
  Batch& prepare(std::int64_t local_count, BatchSlot& slot) const;

  ReaderOptions options_;
  hdf5::File file_;
  std::vector<SampleSource> sources_;
  std::vector<Feed> feeds_;
  std::int64_t samples_ = 0;
  SampleOrder order_;
  std::vector<std::vector<const std::byte*>> rows_;  // by source
};

}  // namespace weft
