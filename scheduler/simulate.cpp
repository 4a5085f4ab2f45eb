// The walk over instructions.
#include "scheduler/simulate.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>

#include "weft/error.hpp"

namespace weft {
namespace {

enum class Which : std::uint8_t { low, middle, high };

double chosen(const Price& price, Which which) {
  return which == Which::low ? price.low : which == Which::high ? price.high : price.seconds;
}

int group_size(const CollectiveSpec& spec, const Mesh& mesh) {
  // A point-to-point message has two ends whatever the axes.
  if (spec.kind == CollectiveKind::send || spec.kind == CollectiveKind::receive) return 2;
  int size = 1;
  for (const auto& axis : spec.axes) size *= mesh.axis_size(axis);
  return size;
}

/// How many nodes the group of rank 0 spans: ranks are numbered node by node.
int group_nodes(const CollectiveSpec& spec, const RunShape& shape) {
  if (shape.nodes <= 1) return 1;
  const int a_node = (shape.mesh.ranks() + shape.nodes - 1) / shape.nodes;
  std::set<int> nodes;
  for (const int rank : shape.mesh.group(0, spec.axes)) nodes.insert(rank / a_node);
  return static_cast<int>(nodes.size());
}

constexpr const char* kCollectiveNames[] = {"all-reduce", "all-gather", "reduce-scatter", "all-to-all",
                                            "broadcast",  "send",       "receive"};

double bytes_of(const std::vector<View>& views) {
  return std::accumulate(views.begin(), views.end(), 0.0,
                         [](double sum, const View& v) { return sum + static_cast<double>(v.layout.bytes(v.dtype)); });
}

/// What one walk adds up.
struct Walk {
  double seconds = 0, communication = 0, exposed = 0, exact = 0, estimated = 0;
  std::map<std::string, double> shares;
  std::vector<InstructionTime> timeline;
};

class Walker {
 public:
  Walker(const Program& program, const Calibration* costs, const RunShape& shape)
      : program_(&program), costs_(costs), shape_(&shape) {
    for (const auto& instruction : program.instructions) prices_.push_back(price(instruction));
  }

  Walk run(Which which) const {
    Walk walk;
    std::array<double, 3> lanes{};
    std::vector<double> begins(prices_.size()), ends(prices_.size());
    for (std::size_t n = 0; n < prices_.size(); ++n) {
      const auto& i = program_->instructions[n];
      auto& lane = lanes[static_cast<std::size_t>(i.kind == InstructionKind::wait ? Lane::compute : i.lane)];
      auto& compute = lanes[static_cast<std::size_t>(Lane::compute)];
      double begin = lane;
      if (i.kind == InstructionKind::wait) {
        const auto started = static_cast<std::size_t>(i.waits.at(0));
        const double overlapped = std::max(0.0, std::min(ends[started], compute) - begins[started]);
        const double stolen = costs_ ? costs_->overlap_cost * overlapped : 0;
        ends[n] = std::max(ends[started], compute + stolen);
      } else {
        for (const int w : i.waits) begin = std::max(begin, ends[static_cast<std::size_t>(w)]);
        // Whatever the lane, instructions are issued in order by the compute thread.
        begin = std::max(begin, i.lane == Lane::compute ? 0.0 : compute);
        if (i.kind == InstructionKind::if_ || i.kind == InstructionKind::while_)
          ends[n] = begin + bodies(i, which, walk);
        else
          ends[n] = begin + chosen(prices_[n], which);
      }
      begins[n] = begin;
      lane = ends[n];
      account(n, ends[n] - begin, walk);
      if (which == Which::middle)
        walk.timeline.push_back({static_cast<int>(n), i.kind == InstructionKind::wait ? Lane::compute : i.lane, begin,
                                 ends[n] - begin, prices_[n].source});
    }
    walk.seconds = *std::max_element(lanes.begin(), lanes.end());
    return walk;
  }

 private:
  Price price(const Instruction& i) const {
    switch (i.kind) {
      case InstructionKind::kernel: {
        const auto k = static_cast<std::size_t>(i.kernel);
        const double estimate = k < program_->kernel_seconds.size() ? program_->kernel_seconds[k] : 0;
        return price_kernel(program_->kernels.at(k), estimate, costs_);
      }
      case InstructionKind::copy: return price_copy(bytes_of(i.writes), costs_);
      case InstructionKind::collective_start:
        return price_collective(
            i.collective.kind,
            static_cast<double>(i.collective.count) * static_cast<double>(size_of(i.collective.dtype)),
            group_size(i.collective, shape_->mesh), group_nodes(i.collective, *shape_), costs_);
      case InstructionKind::wait:
      case InstructionKind::if_:
      case InstructionKind::while_: break;
    }
    return {0, 0, 0, PriceSource::exact};
  }

  /// An `if` takes the longer body (the shorter one at the low end); of a `while` one turn is counted, for nobody knows
  /// how many there will be.
  double bodies(const Instruction& i, Which which, Walk& walk) const {
    std::vector<Walk> walks;
    for (const int b : i.bodies)
      walks.push_back(Walker(program_->bodies.at(static_cast<std::size_t>(b)), costs_, *shape_).run(which));
    if (walks.empty()) return 0;
    if (i.kind == InstructionKind::if_) {
      const auto shorter = [](const Walk& a, const Walk& b) { return a.seconds < b.seconds; };
      Walk taken = which == Which::low ? *std::min_element(walks.begin(), walks.end(), shorter)
                                       : *std::max_element(walks.begin(), walks.end(), shorter);
      walks = {std::move(taken)};
    }
    double seconds = 0;
    for (const Walk& inner : walks) {
      seconds += inner.seconds;
      walk.exact += inner.exact;
      walk.estimated += inner.estimated;
      walk.communication += inner.communication;
      walk.exposed += inner.exposed;
      for (const auto& [what, share] : inner.shares) walk.shares[what] += share;
    }
    return seconds;
  }

  void account(std::size_t n, double seconds, Walk& walk) const {
    const auto& i = program_->instructions[n];
    if (i.kind == InstructionKind::collective_start) {
      walk.communication += seconds;
      return;
    }
    auto source = prices_[n].source;
    if (i.kind == InstructionKind::wait) {
      const auto& start = static_cast<std::size_t>(i.waits.at(0));
      const auto& collective = program_->instructions[start].collective;
      walk.exposed += seconds;
      walk.shares[std::string(kCollectiveNames[static_cast<int>(collective.kind)]) + " (exposed)"] += seconds;
      source = prices_[start].source;
    } else if (i.kind == InstructionKind::kernel) {
      walk.shares[rate_class(program_->kernels[static_cast<std::size_t>(i.kernel)])] += seconds;
    } else if (i.kind == InstructionKind::copy) {
      walk.shares["copy"] += seconds;
    } else {
      return;  // bodies have accounted for themselves
    }
    if (source == PriceSource::exact) walk.exact += seconds;
    if (source == PriceSource::estimated) walk.estimated += seconds;
  }

  const Program* program_;
  const Calibration* costs_;
  const RunShape* shape_;
  std::vector<Price> prices_;
};

void sort_shares(std::vector<TimeShare>& shares) {
  std::sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) {
    return a.seconds != b.seconds ? a.seconds > b.seconds : a.what < b.what;
  });
}

}  // namespace

Prediction simulate(const Program& program, const Calibration* costs, const RunShape& shape) {
  const Walker walker(program, costs, shape);
  auto middle = walker.run(Which::middle);
  Prediction p;
  p.seconds = middle.seconds;
  p.low = std::min(middle.seconds, walker.run(Which::low).seconds);
  p.high = std::max(middle.seconds, walker.run(Which::high).seconds);
  p.calibrated = costs != nullptr;
  p.measured_share = p.seconds > 0 ? std::min(1.0, middle.exact / p.seconds) : 0;
  p.estimated_share = p.seconds > 0 ? std::min(1.0, middle.estimated / p.seconds) : 0;
  p.communication_seconds = middle.communication;
  p.exposed_seconds = middle.exposed;
  for (const auto bytes : program.arena_bytes) p.arena_bytes += bytes;
  p.resident_bytes = program.resident_bytes();
  for (auto& [what, seconds] : middle.shares) p.shares.push_back({what, seconds});
  sort_shares(p.shares);
  p.timeline = std::move(middle.timeline);
  return p;
}

Prediction simulate_sequence(std::span<const Program* const> programs, const Calibration* costs,
                             const RunShape& shape) {
  Prediction all;
  all.calibrated = costs != nullptr;
  std::map<std::string, double> shares;
  std::map<const Program*, Prediction> known;  // passes are often the same Program
  double measured = 0, estimated = 0;
  for (const auto* program : programs) {
    const auto found = known.find(program);
    const auto& p = found != known.end() ? found->second : (known[program] = simulate(*program, costs, shape));
    for (auto time : p.timeline) {
      time.start += all.seconds;
      all.timeline.push_back(time);
    }
    all.seconds += p.seconds;
    all.low += p.low;
    all.high += p.high;
    all.communication_seconds += p.communication_seconds;
    all.exposed_seconds += p.exposed_seconds;
    all.arena_bytes = std::max(all.arena_bytes, p.arena_bytes);
    all.resident_bytes = std::max(all.resident_bytes, p.resident_bytes);
    measured += p.measured_share * p.seconds;
    estimated += p.estimated_share * p.seconds;
    for (const auto& share : p.shares) shares[share.what] += share.seconds;
  }
  all.measured_share = all.seconds > 0 ? measured / all.seconds : 0;
  all.estimated_share = all.seconds > 0 ? estimated / all.seconds : 0;
  for (const auto& [what, seconds] : shares) all.shares.push_back({what, seconds});
  sort_shares(all.shares);
  return all;
}

Prediction simulate_placed(std::span<const Program* const> programs, const PlacementCosts* placement,
                           const RunShape& shape) {
  Prediction p = simulate_sequence(programs, placement ? &placement->costs : nullptr, shape);
  if (!placement) return p;
  p.low *= placement->fastest;
  p.high *= placement->slowest;
  p.scaled = placement->note;
  return p;
}

}  // namespace weft
