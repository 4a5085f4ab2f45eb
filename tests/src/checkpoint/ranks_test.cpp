// The same checkpoint whatever the number of ranks; one failure on all; replicas compared. Runs on 1 to 4 ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "comm/agreement.hpp"
#include "src/checkpoint/async_save.hpp"
#include "src/checkpoint/commit_record.hpp"
#include "src/checkpoint/replicas.hpp"
#include "tests/comm/mpi/world.hpp"
#include "tests/src/checkpoint/sample.hpp"
#include "tests/support/faulty_file_system.hpp"
#include "tests/support/host_device.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::Fault;
using testing::FaultyFileSystem;
using ::testing::HasSubstr;
using testing::HostDevice;
using ::testing::IsEmpty;
using testing::TemporaryFolder;

/// One folder that all ranks see; rank 0's goes away with the test.
class Ranks : public ::testing::Test {
 protected:
  Ranks() {
    const std::string mine = own.path().string();
    const auto chosen = broadcast_bytes(world(), std::as_bytes(std::span(mine)), 0, "test folder");
    folder = std::string(reinterpret_cast<const char*>(chosen.data()), chosen.size());
  }
  ~Ranks() override { barrier(world(), "end of test"); }

  TemporaryFolder own;
  std::filesystem::path folder;
  PosixFileSystem files;
};

/// States of several pieces, so that every rank has some to write.
StateSource large_states() {
  StateSource states = sample_states();
  states.push_back(state_item("large", StateRole::parameter, pattern(DType::f32, {(5 << 20) + 3}, 99)));
  return states;
}

TEST_F(Ranks, EveryRankCountWritesTheSameFile) {
  const SaveReport report = save_checkpoint(world(), folder, large_states(), sample_meta(40), files, 3);
  EXPECT_GT(report.bytes, 20 << 20);
  barrier(world(), "saved");
  if (world().rank() == 0) {
    const std::string together = read_bytes(report.path);
    const auto alone = make_single_communicator();
    save_checkpoint(*alone, folder / "alone", large_states(), sample_meta(40), files, 3);
    EXPECT_TRUE(read_bytes(folder / "alone" / "step-40.h5") == together);
  }
}

class RanksThatLoad : public Ranks {
 protected:
  void expect_restores(const LoadedCheckpoint& loaded) {
    EXPECT_EQ(loaded.meta, sample_meta(40));
    check_fits(loaded, large_states());
    HostDevice device;
    StateTable table(device);
    for (const StateItem& item : large_states())
      table.add(item.name, InitialValue::zeros(item.type.dtype, item.type.shape));
    restore(world(), files, table, loaded);
    for (const StateItem& item : large_states()) EXPECT_TRUE(table.read(item.name).identical(value_of(item)));
  }
};

TEST_F(RanksThatLoad, AllWhatOneSaved) {
  if (world().rank() == 0) {
    const auto alone = make_single_communicator();
    save_checkpoint(*alone, folder, large_states(), sample_meta(40), files, 3);
    write_bytes(folder / "step-50.h5", "nothing");
  }
  barrier(world(), "saved");
  std::vector<RejectedCheckpoint> rejected;
  const auto loaded = load_newest(world(), files, folder, rejected);
  ASSERT_TRUE(loaded.has_value());
  expect_restores(*loaded);
  ASSERT_EQ(rejected.size(), 1u);
  EXPECT_EQ(rejected[0].path, folder / "step-50.h5");
  expect_restores(load_checkpoint(world(), files, folder / "step-40.h5"));
}

/// A state of 12 MB that lies over the world's ranks, and beside it one that all hold.
class RanksWithParts : public Ranks {
 protected:
  void add(StateTable& table, int dimension, bool zeros) const {
    const Mesh mesh{{{"tensor", world().size()}}};
    const TensorType type{value.dtype(), value.shape()};
    const AxisPlacement cut{AxisPlacement::Kind::split, dimension, split_evenly(type.shape[dimension], world().size()),
                            1};
    table.add("w", zeros ? InitialValue::zeros(type.dtype, type.shape) : InitialValue(value), StateScope::lasting,
              shard_of(type, {{cut}}, mesh, world().rank()));
    table.add("b", zeros ? InitialValue::zeros(DType::f32, {7}) : InitialValue(pattern(DType::f32, {7}, 2)));
  }
  const Tensor value = pattern(DType::f32, {3000, 1001}, 1);
};

TEST_F(RanksWithParts, SaveTheSameFileAsOneRankAndLoadItCutOtherwise) {
  HostDevice device;
  StateTable columns(device), rows(device), expected(device), whole(device);
  add(columns, 1, false);
  add(rows, 0, true);
  add(expected, 0, false);
  const SaveReport waiting = save_checkpoint(world(), folder, states_of(columns, {"w"}), sample_meta(40), files, 3);
  AsyncSave background(world(), files, [] { return std::int64_t{1} << 40; });
  ASSERT_TRUE(background.begin(folder / "background", states_of(columns, {"w"}), sample_meta(40), 3));
  columns.write_part("w", Tensor(value.dtype(), value.shape()));
  ASSERT_TRUE(background.finish().has_value());
  if (world().rank() == 0) {
    whole.add("w", value);
    whole.add("b", pattern(DType::f32, {7}, 2));
    const auto alone = make_single_communicator();
    const SaveReport one =
        save_checkpoint(*alone, folder / "alone", states_of(whole, {"w"}), sample_meta(40), files, 3);
    EXPECT_TRUE(read_bytes(one.path) == read_bytes(waiting.path));
    EXPECT_TRUE(read_bytes(one.path) == read_bytes(folder / "background" / "step-40.h5"));
  }
  barrier(world(), "saved");
  restore(world(), files, rows, load_checkpoint(world(), files, waiting.path));
  EXPECT_EQ(rows.hash(), expected.hash());
}

TEST_F(Ranks, AFolderWithoutCheckpointsHasNoneOnAnyRank) {
  std::vector<RejectedCheckpoint> rejected;
  EXPECT_FALSE(load_newest(world(), files, folder / "none", rejected).has_value());
  EXPECT_THAT(message_of<SystemError>([&] { load_checkpoint(world(), files, folder / "none.h5"); }),
              HasSubstr("No such file"));
}

/// Every rank in turn fails at every call that it makes; the others must hear of it, and the folder stays sound.
TEST_F(Ranks, AFailureOnAnyRankIsTheSameErrorOnAll) {
  save_checkpoint(world(), folder, large_states(), sample_meta(10), files, 3);
  int failures = 0;
  for (int faulty_rank = 0; faulty_rank < world().size(); ++faulty_rank)
    for (std::int64_t call = 0;; ++call) {
      const bool faulty_here = world().rank() == faulty_rank;
      FaultyFileSystem faulty(Fault{faulty_here ? Fault::Kind::error : Fault::Kind::none, call, ENOSPC, {}});
      std::string message;
      try {
        const SaveReport report = save_checkpoint(world(), folder, large_states(), sample_meta(20), faulty, 3);
        message = report.warning;
      } catch (const SystemError& error) {
        message = error.what();
      }
      const auto all = gather_bytes(world(), std::as_bytes(std::span(message)), "messages");
      for (const auto& other : all) ASSERT_TRUE(other == all[0]) << message << " at call " << call;
      const auto calls = static_cast<std::int64_t>(faulty.calls().size());
      const auto reached = broadcast_bytes(world(), std::as_bytes(std::span(&calls, 1)), faulty_rank, "calls");
      std::int64_t made = 0;
      std::memcpy(&made, reached.data(), sizeof made);
      if (made <= call) {
        ASSERT_EQ(message, "");
        break;
      }
      ++failures;
      ASSERT_THAT(message, AllOf(HasSubstr("checkpoint of step 20"), HasSubstr("No space left")));
      if (world().size() > 1) {
        ASSERT_THAT(message, HasSubstr("rank " + std::to_string(faulty_rank) + ":"));
      }
      if (world().rank() == 0) {
        std::vector<RejectedCheckpoint> rejected;
        ASSERT_TRUE(newest_valid(files, folder, rejected).has_value());
        ASSERT_THAT(rejected, IsEmpty());
        std::filesystem::remove(folder / "step-20.h5");
        ASSERT_THAT(files.list(folder), ElementsAre("step-10.h5")) << "call " << call;
      }
      barrier(world(), "looked");
    }
  EXPECT_GE(failures, 12 + 4 * (world().size() - 1));
}

TEST_F(Ranks, ASilentlyLostWriteIsNoticedBeforeTheCommit) {
  const int lossy = world().size() - 1;
  // The second call of the last rank is its first write; of a lone rank 0 it comes after making the layout.
  for (std::int64_t call = 1; call < 8; ++call) {
    const bool faulty_here = world().rank() == lossy;
    FaultyFileSystem faulty(Fault{faulty_here ? Fault::Kind::short_write : Fault::Kind::none, call, 0, {}});
    std::string message;
    try {
      save_checkpoint(world(), folder, large_states(), sample_meta(20), faulty, 3);
    } catch (const SystemError& error) {
      message = error.what();
    }
    const bool wrote = faulty_here && faulty.calls()[static_cast<std::size_t>(call)].starts_with("write");
    const auto all = gather_bytes(world(), std::as_bytes(std::span(&wrote, 1)), "wrote");
    if (std::to_integer<int>(all[static_cast<std::size_t>(lossy)][0]) != 0) {
      EXPECT_THAT(message, HasSubstr("does not hold what rank")) << call;
    }
  }
}

TEST_F(Ranks, RanksWithOtherStatesAreAFault) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  StateSource states = sample_states();
  if (world().rank() == 1) states.pop_back();
  EXPECT_THROW(save_checkpoint(world(), folder, states, sample_meta(1), files, 3), InternalError);
}

TEST_F(Ranks, EqualReplicasPass) {
  HostDevice device;
  StateTable table(device);
  table.add("w", pattern(DType::f32, {100}, 1));
  EXPECT_NO_THROW(check_replicas(world(), table, 5));
}

TEST_F(Ranks, AReplicaThatDiffersIsNamedOnAllRanks) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  HostDevice device;
  StateTable table(device);
  table.add("a", pattern(DType::f32, {100}, 1));
  table.add("b", pattern(DType::f32, {100}, world().rank() == 1 ? 2 : 1));
  table.add("c", pattern(DType::f32, {100}, static_cast<std::uint64_t>(world().rank())));
  EXPECT_THAT(message_of<SystemError>([&] { check_replicas(world(), table, 5); }),
              AllOf(HasSubstr("after step 5"), HasSubstr("state 'b'"), HasSubstr("rank 1 (")));
}

TEST_F(Ranks, AReplicaWithOtherStatesIsNoticed) {
  if (world().size() == 1) GTEST_SKIP() << "needs two ranks";
  HostDevice device;
  StateTable table(device);
  table.add(world().rank() == 0 ? "a" : "b", Tensor());
  EXPECT_THAT(message_of<SystemError>([&] { check_replicas(world(), table, 5); }), HasSubstr("list of states"));
}

}  // namespace
}  // namespace weft::test
