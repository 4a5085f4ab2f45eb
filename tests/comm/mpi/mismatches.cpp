// Sequences of collectives in which one rank goes wrong on purpose: mpirun -n N comm_mismatches FOLDER FIRST TIMES
//
// Case after case in one job: a random sequence, a random rank, and one of: an operation skipped, two swapped, another
// size, type, root, reduction or kind. Every rank must end with an error that names the operation and what differs.
// Every tenth case has no fault and must end well. Rank 0 prints a line a case, then "N of N".
//
// A communicator that failed stays so: each case has a communication thread and groups of its own, and those of earlier
// cases stay as they are with their buffers, for MPI may still write there.
#include <fmt/format.h>
#include <mpi.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "comm/mpi/mpi_communicator.hpp"
#include "src/faults/flight_file.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTimeout{1000};
constexpr int kMostText = 16 << 10;

enum class Kind { all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, ring };
constexpr int kKinds = 6;
enum class Fault { none, skipped, swapped, size, type, root, reduction, kind };
constexpr const char* kFaults[] = {"nothing wrong", "skipped",    "swapped with the next", "another size",
                                   "another type",  "other root", "another reduction",     "another kind"};

struct Step {
  Kind kind = Kind::all_reduce;
  std::int64_t count = 1;
  DType type = DType::f32;
  ReduceKind reduce = ReduceKind::sum;
  int root = 0;
  std::string name;
};

struct Case {
  std::vector<Step> steps;
  bool overlapped = false;  ///< all are started before the first is waited for
  Fault fault = Fault::none;
  std::size_t at = 0;
  int victim = 0;
};

class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

 private:
  std::mt19937 random_;
};

DType drawn_type(Dice& dice) {
  constexpr DType kTypes[] = {DType::f32, DType::i32, DType::f64, DType::i64, DType::u8, DType::bf16};
  return kTypes[dice.below(6)];
}

Step drawn_step(Dice& dice, int ranks) {
  constexpr std::int64_t kCounts[] = {1, 7, 300, 3000, 9001, 100'003};
  return {static_cast<Kind>(dice.below(kKinds)),  kCounts[dice.below(6)], drawn_type(dice),
          static_cast<ReduceKind>(dice.below(3)), dice.below(ranks),      ""};
}

/// The same on all ranks.
Case drawn_case(unsigned number, int ranks) {
  Dice dice(number);
  Case c;
  c.steps.resize(static_cast<std::size_t>(4 + dice.below(5)));
  for (Step& s : c.steps) s = drawn_step(dice, ranks);
  c.overlapped = dice.below(2) == 0;
  c.victim = dice.below(ranks);
  c.at = static_cast<std::size_t>(dice.below(static_cast<int>(c.steps.size()) - 1));
  if (number % 10 != 9) c.fault = static_cast<Fault>(1 + dice.below(7));
  // A fault of a kind of operation needs one of that kind there.
  Step& s = c.steps[c.at];
  if (c.fault == Fault::root) s.kind = Kind::broadcast;
  if (c.fault == Fault::reduction) s.kind = dice.below(2) == 0 ? Kind::all_reduce : Kind::reduce_scatter;
  if (c.fault == Fault::type && (s.kind == Kind::broadcast || s.kind == Kind::ring)) s.kind = Kind::all_gather;
  // Messages and collectives have no order among each other.
  if (c.fault == Fault::swapped)
    for (const std::size_t at : {c.at, c.at + 1})
      if (c.steps[at].kind == Kind::ring) c.steps[at].kind = Kind::all_reduce;
  for (std::size_t k = 0; k < c.steps.size(); ++k) c.steps[k].name = fmt::format("op-{}.", k);
  return c;
}

void go_wrong(Case& c, Dice& dice, int ranks) {
  Step& s = c.steps[c.at];
  switch (c.fault) {
    case Fault::none: break;
    case Fault::skipped: c.steps.erase(c.steps.begin() + static_cast<std::ptrdiff_t>(c.at)); break;
    case Fault::swapped: std::swap(s, c.steps[c.at + 1]); break;
    case Fault::size: s.count += dice.below(2) == 0 ? 1 : 5000; break;
    case Fault::type:
      for (const DType was = s.type; s.type == was;) s.type = drawn_type(dice);
      break;
    case Fault::root: s.root = (s.root + 1 + dice.below(ranks - 1)) % ranks; break;
    case Fault::reduction:
      s.reduce = static_cast<ReduceKind>((static_cast<int>(s.reduce) + 1 + dice.below(2)) % 3);
      break;
    case Fault::kind:
      s.kind = static_cast<Kind>((static_cast<int>(s.kind) + 1 + dice.below(kKinds - 1)) % kKinds);
      break;
  }
}

/// An operation's buffers and requests.
struct Running {
  std::vector<std::byte> from, to;
  std::vector<std::unique_ptr<Request>> requests;
};

void start(Communicator& comm, const Step& s, Running& running) {
  const auto size = static_cast<std::size_t>(size_of(s.type)), n = static_cast<std::size_t>(s.count) * size;
  const auto ranks = static_cast<std::size_t>(comm.size());
  running.from.assign(n * ranks, std::byte{0});
  running.to.assign(n * ranks, std::byte{0});
  const OperationLabel label{s.name, 3, 0};
  std::byte *from = running.from.data(), *to = running.to.data();
  const auto add = [&](std::unique_ptr<Request> request) { running.requests.push_back(std::move(request)); };
  const int next = (comm.rank() + 1) % comm.size(), before = (comm.rank() + comm.size() - 1) % comm.size();
  const auto bytes = static_cast<std::int64_t>(n);
  switch (s.kind) {
    case Kind::all_reduce: return add(comm.start_all_reduce(from, to, s.count, s.type, s.reduce, label));
    case Kind::all_gather: return add(comm.start_all_gather(from, to, s.count, s.type, label));
    case Kind::reduce_scatter: return add(comm.start_reduce_scatter(from, to, s.count, s.type, s.reduce, label));
    case Kind::all_to_all: return add(comm.start_all_to_all(from, to, s.count, s.type, label));
    case Kind::broadcast: return add(comm.start_broadcast(to, bytes, s.root, label));
    case Kind::ring:
      add(comm.start_send(from, bytes, next, label));
      return add(comm.start_receive(to, bytes, before, label));
  }
}

void run(Communicator& comm, const Case& c) {
  // Left behind: after a failure MPI may still write there.
  auto& running = *new std::vector<Running>(c.steps.size());
  for (std::size_t k = 0; k < c.steps.size(); ++k) {
    start(comm, c.steps[k], running[k]);
    if (!c.overlapped)
      for (auto& request : running[k].requests) request->wait();
  }
  for (Running& r : running)
    for (auto& request : r.requests) request->wait();
  barrier(comm, "the end");
}

/// What is wrong with how a rank ended; "" when nothing is.
std::string complaint(const Case& c, const std::string& text) {
  if (c.fault == Fault::none) return text.empty() ? "" : "it failed";
  if (text.empty()) return "it ended without an error";
  const auto says = [&](const std::string& part) { return text.find(part) != std::string::npos; };
  if (!says("what differs: ") && !says(" came to ")) return "it does not say what differs";
  return says(c.steps[c.at].name) ? "" : "it does not name the operation";
}

void start_mpi() {
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
}

/// Everything that a communicator needs, apart from all others.
std::unique_ptr<MpiCommunicator> fresh_world(const std::filesystem::path& folder, int rank, int ranks) {
  auto thread = std::make_shared<CommThread>(ProgressPolicy{}, kTimeout);
  new std::shared_ptr<CommThread>(thread);
  Group group;
  group.rank = rank;
  group.nodes.assign(static_cast<std::size_t>(ranks), 0);
  group.world_ranks.resize(static_cast<std::size_t>(ranks));
  std::iota(group.world_ranks.begin(), group.world_ranks.end(), 0);
  group.id = 1;
  group.name = "all";
  thread->call("joining", std::chrono::seconds(60), [&] {
    MPI_Comm_dup(MPI_COMM_WORLD, &group.comm);
    thread->use_notices(std::make_unique<FailureNotices>());
  });
  thread->set_flight_log(make_flight_log(folder, rank, ranks, 1), [folder] { return compare_flights(folder); });
  return std::make_unique<MpiCommunicator>(std::move(thread), std::move(group));
}

/// On rank 0 the ends of all ranks.
std::vector<std::string> gathered(const std::string& mine, int rank, int ranks) {
  std::string padded = mine.substr(0, kMostText - 1);
  padded.resize(kMostText);
  std::string all(rank == 0 ? static_cast<std::size_t>(ranks) * kMostText : 0, '\0');
  MPI_Gather(padded.data(), kMostText, MPI_CHAR, all.data(), kMostText, MPI_CHAR, 0, MPI_COMM_WORLD);
  std::vector<std::string> texts;
  for (std::size_t at = 0; at < all.size(); at += kMostText) texts.emplace_back(all.c_str() + at);
  return texts;
}

bool judged(unsigned number, const Case& c, const std::vector<std::string>& texts) {
  std::string complaints;
  for (std::size_t r = 0; r < texts.size(); ++r)
    if (const std::string wrong = complaint(c, texts[r]); !wrong.empty())
      complaints += fmt::format("\n  rank {}: {}: {}", r, wrong, texts[r]);
  fmt::print("case {}: {} ranks, {} {}, rank {}, {}: {}{}\n", number, texts.size(), c.steps[c.at].name,
             kFaults[static_cast<int>(c.fault)], c.victim, c.overlapped ? "overlapped" : "one after the other",
             complaints.empty() ? "named" : "NOT NAMED", complaints);
  return complaints.empty();
}

int main_of(const std::filesystem::path& folder, unsigned first, int times) {
  start_mpi();
  int rank = 0, ranks = 1, good = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  for (unsigned number = first; number < first + static_cast<unsigned>(times); ++number) {
    const Case right = drawn_case(number, ranks);
    Case mine = right;
    Dice dice(number + 1'000'000);
    if (rank == right.victim) go_wrong(mine, dice, ranks);
    auto comm = fresh_world(folder / std::to_string(number), rank, ranks);
    std::string text;
    try {
      run(*comm, mine);
    } catch (const Error& error) {
      text = error.what();
    }
    if (const auto texts = gathered(text, rank, ranks); rank == 0 && judged(number, right, texts)) ++good;
    MPI_Barrier(MPI_COMM_WORLD);
  }
  if (rank == 0) fmt::print("{} of {}\n", good, times);
  std::fflush(stdout);
  MPI_Barrier(MPI_COMM_WORLD);
  std::_Exit(0);  // requests of failed operations are still there, and MPI_Finalize would wait for them
}

}  // namespace
}  // namespace weft

int main(int, char** argv) {
  return weft::main_of(argv[1], static_cast<unsigned>(std::atoi(argv[2])), std::atoi(argv[3]));
}
