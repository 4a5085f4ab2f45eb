// Evaluation over batches of any size: sums and counts add up.
#include "src/train/evaluator.hpp"

#include <map>

#include "graph/partition/partition.hpp"
#include "src/train/step_agreement.hpp"
#include "weft/error.hpp"

namespace weft {

std::vector<std::int64_t> batch_sizes(std::int64_t samples, std::int64_t batch) {
  std::vector<std::int64_t> sizes;
  if (samples >= batch) sizes.push_back(batch);
  if (samples % batch != 0) sizes.push_back(samples % batch);
  return sizes;
}

void bind_feeds(Executor& executor, const Batch& batch, std::int64_t offset, std::int64_t count,
                const Tensor& sample_offset, const Tensor& rank_offset) {
  for (const auto& [name, tensor] : batch.feeds) {
    if (!executor.has_feed(name)) continue;
    const std::int64_t row = tensor.shape()[0] == 0 ? 0 : static_cast<std::int64_t>(tensor.bytes()) / tensor.shape()[0];
    executor.bind(name, tensor.data() + offset * row, count * row);
  }
  if (executor.has_feed("sample_offset")) executor.bind("sample_offset", sample_offset);
  if (executor.has_feed(kRankSampleOffset)) executor.bind(kRankSampleOffset, rank_offset);
}

Evaluator::Evaluator(ProgramSet& programs, ReaderOptions reader) : programs_(programs), reader_(reader) {}

Evaluation Evaluator::run(std::int64_t step, Communicator& world, const std::function<StopKind()>& wish) {
  // The reader goes on ahead into the next pass over the file: begin where it stands.
  reader_.seek(passes_++, 0);
  std::map<std::string, double> sums;
  const Tensor no_offset = Tensor::scalar<std::int64_t>(0);
  const std::vector<EvaluationTotal>* totals = nullptr;
  Evaluation result;
  StepAgreement agreement(world);
  for (std::int64_t i = 0; i < reader_.batches_per_epoch() && !result.stop; ++i) {
    agreement.propose(wish(), false, step);
    const Batch& batch = reader_.next();
    const EvaluationPass& pass = programs_.evaluation(batch.global_count);
    totals = &pass.totals;
    const Tensor rank_offset = Tensor::scalar(programs_.share(batch.global_count).first);
    bind_feeds(*pass.executor, batch, 0, batch.local_count, no_offset, rank_offset);
    pass.executor->run(step);
    std::map<std::string, double> fetched;  // totals may share a count
    for (const EvaluationTotal& t : pass.totals)
      for (const std::string& name : {t.sum_fetch, t.count_fetch})
        fetched[name] = pass.executor->fetch(name).as_double(0);
    for (const auto& [name, value] : fetched) sums[name] += value;
    result.samples += batch.global_count;
    const StopDecision stop = agreement.decide().stop;
    if (i + 1 < reader_.batches_per_epoch()) result.stop = stop;
  }
  check_internal(totals != nullptr, "evaluation without a batch");
  for (const EvaluationTotal& t : *totals)
    result.totals.emplace_back(t.name, t.value(sums[t.sum_fetch], sums[t.count_fetch]));
  return result;
}

}  // namespace weft
