// One rank's part of a batch: which samples, where their bytes are, and their transformation into feeds.
#include "src/data/batch_builder.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "weft/error.hpp"
#include "weft/memory_limit.hpp"

namespace weft {

namespace {

void check_options(const ReaderOptions& o) {
  check_internal(o.rank >= 0 && o.rank < o.ranks && !o.wanted.empty(),
                 "BatchReader: rank, micro-batches or feeds are wrong");
  if (o.batch < 1) throw UserError(fmt::format("batch is {}: it must be at least 1", o.batch));
  if (o.prefetch < 1) throw UserError(fmt::format("prefetch is {}: it must be at least 1", o.prefetch));
  for (const auto& [feed, dataset] : o.inputs)
    if (!o.wanted.contains(feed)) {
      std::vector<std::string> names;
      for (const auto& [name, type] : o.wanted) names.push_back(name);
      throw UserError(fmt::format("data.inputs names '{}' (dataset '{}'), and the model has no such input; it has {}",
                                  feed, dataset, fmt::join(names, ", ")));
    }
}

}  // namespace

BatchBuilder::BatchBuilder(ReaderOptions options)
    : options_(std::move(options)), file_(hdf5::File::open(options_.path)), order_(0, false, 0) {
  check_options(options_);
  open_feeds();
  order_ = SampleOrder(samples_, options_.shuffle && options_.training, options_.seed);
}

void BatchBuilder::open_feeds() {
  std::int64_t memory_left = options_.keep_in_memory;
  if (memory_left < 0) memory_left = available_memory() / 4 / std::max(options_.processes, options_.ranks);
  for (const auto& [name, type] : options_.wanted) {
    const auto given = options_.inputs.find(name);
    const std::string& dataset = given == options_.inputs.end() ? name : given->second;
    const std::size_t index = source_of(dataset, memory_left);
    const SampleSource& source = sources_[index];
    const auto sample = [](const Shape& s) { return Dims(s.begin() + std::min(1, s.rank()), s.end()); };
    FeedTransform feed;
    feed.feed = name;
    feed.dataset = dataset;
    feed.file = options_.path;
    feed.stored = source.dtype();
    feed.stored_sample = sample(source.shape());
    feed.wanted = type.dtype;
    feed.wanted_sample = sample(type.shape);
    feed.normalise = !options_.targets.contains(name);
    feed.flip = options_.augmentation.flip && options_.training;
    if (const auto classes = options_.classes.find(name); classes != options_.classes.end()) {
      feed.classes = classes->second;
      feed.ignored = options_.ignored_class;
    }
    feeds_.push_back({SampleTransform(std::move(feed), options_.augmentation), index});
  }
  check_augmentation();
  rows_.resize(sources_.size());
}

/// What would do nothing is a mistake.
void BatchBuilder::check_augmentation() const {
  for (const Feed& feed : feeds_)
    if (feed.transform.is_image() && feed.transform.feed().normalise) return;
  const DataSpec& spec = options_.augmentation;
  const char* key = spec.crop > 0        ? "crop"
                    : spec.flip          ? "flip"
                    : !spec.mean.empty() ? "mean"
                    : !spec.std.empty()  ? "std"
                                         : nullptr;
  if (key != nullptr)
    throw UserError(
        fmt::format("data.{}: is for images, and no input reads any from {} (samples [channels, height, width]): "
                    "leave it out",
                    key, options_.path));
}

std::size_t BatchBuilder::source_of(const std::string& dataset, std::int64_t& memory_left) {
  for (std::size_t i = 0; i < sources_.size(); ++i)
    if (sources_[i].name() == dataset) return i;
  SampleSource source(file_, dataset, memory_left);
  if (source.in_memory()) memory_left -= source.bytes();
  if (source.samples() == 0) throw UserError(fmt::format("{}: dataset '{}' has no samples", options_.path, dataset));
  if (sources_.empty())
    samples_ = source.samples();
  else if (samples_ != source.samples())
    throw UserError(fmt::format("{}: dataset '{}' has {} samples and '{}' {}: all datasets of a job must have as many",
                                options_.path, sources_[0].name(), samples_, dataset, source.samples()));
  sources_.push_back(std::move(source));
  return sources_.size() - 1;
}

Batch& BatchBuilder::prepare(std::int64_t local_count, BatchSlot& slot) const {
  const auto found = slot.by_count.find(local_count);
  if (found != slot.by_count.end()) return found->second;
  Batch& batch = slot.by_count[local_count];
  batch.local_count = local_count;
  for (const auto& [name, type] : options_.wanted) {
    const Shape shape = type.shape.rank() == 0 ? Shape{local_count} : type.shape.with(0, local_count);
    batch.feeds.emplace(name, Tensor(type.dtype, shape));
  }
  return batch;
}

void BatchBuilder::build(std::int64_t epoch, std::int64_t index, BatchSlot& slot) {
  order_.start_epoch(epoch);
  const std::int64_t start = index * options_.batch;
  const std::int64_t count = std::min(options_.batch, samples_ - start);
  const auto cut = options_.passes.find(count);
  const Dims whole{count};
  const std::vector<Share> shares =
      rank_shares(cut != options_.passes.end() ? cut->second : whole, options_.ranks, options_.rank);
  std::int64_t local = 0;
  for (const Share& s : shares) local += s.count;
  Batch& batch = prepare(local, slot);
  batch.epoch = epoch;
  batch.index = index;
  batch.global_count = count;
  batch.sample_ids.clear();
  for (const Share& s : shares)
    for (std::int64_t i = 0; i < s.count; ++i) batch.sample_ids.push_back(order_[start + s.offset + i]);
  for (std::size_t s = 0; s < sources_.size(); ++s) sources_[s].locate(batch.sample_ids, rows_[s]);
  for (const Feed& feed : feeds_) {
    std::byte* out = batch.feeds.at(feed.transform.feed().feed).mutable_data();
    for (std::size_t i = 0; i < batch.sample_ids.size(); ++i, out += feed.transform.bytes()) {
      std::optional<SampleChance> chance;
      if (options_.training && feed.transform.uses_chance()) chance.emplace(options_.seed, epoch, batch.sample_ids[i]);
      feed.transform.apply(rows_[feed.source][i], batch.sample_ids[i], chance, out);
    }
  }
  slot.filled = &batch;
}

}  // namespace weft
