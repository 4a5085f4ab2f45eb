// The loop over a rank's actions.
#include "src/executor/pipeline_executor.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "weft/error.hpp"

namespace weft {
namespace {

double seconds_since(PipelineExecutor::Clock::time_point start) {
  return std::chrono::duration<double>(PipelineExecutor::Clock::now() - start).count();
}

const RankScript& script_of(const Pipeline& pipeline, int coordinate) {
  return pipeline.scripts.at(static_cast<std::size_t>(coordinate));
}

std::int64_t bytes_of(const TensorType& type) {
  return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
}

std::int64_t stride_of(const PipelineBuffer& buffer) {
  constexpr std::int64_t kCacheLine = 64;
  return (bytes_of(buffer.type) + kCacheLine - 1) / kCacheLine * kCacheLine;
}

}  // namespace

std::set<int> segments_of(const Pipeline& pipeline, int coordinate) {
  std::set<int> result;
  for (const PipelineAction& action : script_of(pipeline, coordinate).actions)
    if (action.segment != PipelineAction::kNone) result.insert(action.segment);
  return result;
}

std::set<std::string> states_of(const Pipeline& pipeline, int coordinate) {
  std::set<std::string> result;
  for (const auto& [state, holders] : pipeline.held)
    if (std::find(holders.begin(), holders.end(), coordinate) != holders.end()) result.insert(state);
  return result;
}

std::int64_t slot_bytes(const Pipeline& pipeline, int coordinate) {
  std::int64_t bytes = 0;
  for (const PipelineBuffer& b : script_of(pipeline, coordinate).buffers) bytes += stride_of(b) * b.slots;
  return bytes;
}

PipelineExecutor::PipelineExecutor(const Pipeline& pipeline, int coordinate, std::map<int, Program> programs,
                                   Device& device, StateTable& states, KernelCache& cache, ArenaPool& arena,
                                   CommunicatorSet& groups)
    : script_(script_of(pipeline, coordinate)),
      states_(&states),
      group_(&groups.group({kPipelineAxis})),
      receives_(script_.receives.size()),
      sends_(script_.sends.size()) {
  check_internal(group_->rank() == coordinate && group_->size() == pipeline.shape.ranks,
                 "a pipeline runs on the ranks of its axis");
  std::set<std::string> names;
  for (const PipelineBuffer& b : script_.buffers) {
    buffers_[b.name] = static_cast<int>(slots_.size());
    slot_stride_.push_back(stride_of(b));
    slots_.push_back(device.allocate(std::max<std::int64_t>(stride_of(b) * b.slots, 1), device.arena_space()));
    names.insert(b.name);
  }
  for (const int segment : segments_of(pipeline, coordinate))
    executors_[segment] =
        std::make_unique<Executor>(std::move(programs.at(segment)), device, states, cache, arena, &groups, names);
  for (const PipelineAction& action : script_.actions)
    if (action.segment != PipelineAction::kNone) last_ = executors_.at(action.segment).get();
}

PipelineExecutor::Memory PipelineExecutor::slot(int buffer, int number) const {
  const auto b = static_cast<std::size_t>(buffer);
  return {slots_[b]->data() + slot_stride_[b] * number, bytes_of(script_.buffers[b].type)};
}

PipelineExecutor::Memory PipelineExecutor::memory_of(const Transfer& transfer) const {
  if (transfer.buffer >= 0) return slot(transfer.buffer, transfer.slot);
  const StateEntry& state = states_->at(transfer.name);
  return {state.memory->data(), bytes_of(state.type)};
}

void PipelineExecutor::wait_for(std::unique_ptr<Request>& request) {
  if (!request) return;
  const Clock::time_point start = Clock::now();
  request->wait();
  times_.waiting += seconds_since(start);
  request.reset();
}

void PipelineExecutor::run_segment(const PipelineAction& action, std::int64_t step, const BindFeeds& bind,
                                   ExecutionObserver* observer) {
  Executor& executor = *executors_.at(action.segment);
  for (const Buffer& buffer : executor.program().buffers) {
    const auto found = buffers_.find(buffer.name);
    if (found == buffers_.end() || (buffer.kind != BufferKind::feed && buffer.kind != BufferKind::fetch)) continue;
    const int slots = script_.buffers[static_cast<std::size_t>(found->second)].slots;
    const Memory memory = slot(found->second, std::max(action.micro_batch, 0) % slots);
    if (buffer.kind == BufferKind::feed)
      executor.bind(buffer.name, memory.data, memory.bytes);
    else
      executor.bind_fetch(buffer.name, memory.data, memory.bytes);
  }
  bind(executor, action.micro_batch);
  const Clock::time_point start = Clock::now();
  executor.run(step, observer);
  if (action.micro_batch == PipelineAction::kNone) return;
  times_.computing += seconds_since(start);
  times_.passes = seconds_since(started_);
}

bool PipelineExecutor::loss_is_finite() const {
  const int buffer = buffers_.at(script_.guard);
  const TensorType& type = script_.buffers[static_cast<std::size_t>(buffer)].type;
  Tensor loss(type.dtype, type.shape);
  std::memcpy(loss.mutable_data(), slot(buffer, 0).data, loss.bytes());
  return std::isfinite(loss.as_double(0));
}

bool PipelineExecutor::run(std::int64_t step, const BindFeeds& bind, bool guarded, ExecutionObserver* observer) {
  times_ = {};
  started_ = Clock::now();
  std::size_t posted = 0;
  bool complete = true;
  for (const PipelineAction& action : script_.actions) {
    for (; posted < static_cast<std::size_t>(action.posted); ++posted) {
      const Transfer& t = script_.receives[posted];
      const Memory to = memory_of(t);
      receives_[posted] = group_->start_receive(to.data, to.bytes, t.peer, {t.name, step, t.number});
    }
    for (const int i : action.needs) wait_for(receives_[static_cast<std::size_t>(i)]);
    for (const int i : action.reuses) wait_for(sends_[static_cast<std::size_t>(i)]);
    if (action.updates && guarded && !loss_is_finite()) {
      complete = false;
      break;
    }
    if (action.segment != PipelineAction::kNone) run_segment(action, step, bind, observer);
    for (int i = action.sends_from; i < action.sends_to; ++i) {
      const Transfer& t = script_.sends[static_cast<std::size_t>(i)];
      const Memory from = memory_of(t);
      sends_[static_cast<std::size_t>(i)] = group_->start_send(from.data, from.bytes, t.peer, {t.name, step, t.number});
    }
  }
  for (auto& request : receives_) wait_for(request);
  for (auto& request : sends_) wait_for(request);
  return complete;
}

Tensor PipelineExecutor::fetch(const std::string& name) const {
  check_internal(last_ != nullptr, "a pipeline that runs nothing has no fetches");
  return last_->fetch(name);
}

}  // namespace weft
