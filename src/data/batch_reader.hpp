// BatchReader: one rank's stream of batches, read and transformed ahead by a background thread.
//
// A global batch of `batch` samples (the last of an epoch may be smaller) is shared out by rank_shares: a rank's batch
// is its shares of all passes, one after the other. The order of samples depends on seed and epoch only,
// random crops and flips on seed, epoch and sample only: never on ranks, passes or prefetching. Without
// `training`, samples come in file order, cropped at the centre, not flipped.
//
// Labels and images are converted to the wanted types; images [N, C, H, W] of float feeds that are not targets are
// scaled and normalised (job.hpp, DataSpec). Not collective: ranks read on their own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/data/sample_order.hpp"
#include "weft/graph.hpp"
#include "weft/job.hpp"
#include "weft/tensor.hpp"

namespace weft {

struct ReaderOptions {
  std::string path;                             ///< HDF5 file
  std::map<std::string, std::string> inputs;    ///< feed -> dataset; feeds that are not named use their own name
  std::map<std::string, TensorType> wanted;     ///< feed -> type; dimension 0 of the shape is the batch, and ignored
  std::set<std::string> targets;                ///< feeds that are never scaled or normalised
  std::map<std::string, std::int64_t> classes;  ///< integer feeds whose values are checked to be in [0, classes)
  std::optional<std::int64_t> ignored_class;    ///< a value that passes that check
  std::int64_t batch = 1;                       ///< global samples a step
  bool shuffle = true;                          ///< in training
  std::int64_t seed = 0;
  int rank = 0, ranks = 1;  ///< of those that share a batch out
  int processes = 0;        ///< that read on this machine; 0: `ranks`
  /// By the samples of a batch, the samples of each of its passes; a batch that is not named is one pass.
  std::map<std::int64_t, Dims> passes;
  DataSpec augmentation;  ///< scale, mean, std, crop, crop_padding, flip; its other fields are not used
  bool training = true;
  std::int64_t prefetch = 3;         ///< batches made ahead
  std::int64_t keep_in_memory = -1;  ///< bytes of data a rank may keep; -1: its share of a quarter of free memory
  double timeout_seconds = 300;      ///< longest wait for a batch
};

struct Batch {
  std::int64_t epoch = 0, index = 0;
  std::int64_t global_count = 0;         ///< samples in the global batch
  std::int64_t local_count = 0;          ///< of them, this rank's; may be 0
  std::map<std::string, Tensor> feeds;   ///< [local_count, …] in the wanted type
  std::vector<std::int64_t> sample_ids;  ///< rows of the file, this rank's, in order
};

class BatchReader {
 public:
  /// Opens, checks and starts reading at batch 0 of epoch 0. UserError where file, datasets, shapes, types or options
  /// do not fit; SystemError where the file cannot be read.
  explicit BatchReader(const ReaderOptions& options);
  ~BatchReader();
  BatchReader(BatchReader&&) noexcept;
  BatchReader& operator=(BatchReader&&) noexcept;

  std::int64_t samples() const;
  std::int64_t batches_per_epoch() const;  ///< ceil(samples / batch)

  /// The next batch will be number `batch` (0 to batches_per_epoch; the latter is the next epoch's first).
  void seek(std::int64_t epoch, std::int64_t batch);

  /// The next batch in order, epoch after epoch; valid until the next call. Throws what reading it threw: SystemError
  /// for files (with dataset and sample), UserError for values; SystemError when it takes longer than the timeout.
  const Batch& next();

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace weft
