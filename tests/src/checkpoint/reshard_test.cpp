// Saved by one mesh, loaded by another: bit-equal, and the file does not tell which mesh wrote it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "src/checkpoint/gather.hpp"
#include "src/checkpoint/replicas.hpp"
#include "tests/graph/partition/drawn_placement.hpp"
#include "tests/src/checkpoint/sample.hpp"
#include "tests/support/host_device.hpp"
#include "tests/support/temporary_folder.hpp"
#include "tests/support/thread_world.hpp"

namespace weft::test {
namespace {

using ::testing::AllOf;
using testing::Dice;
using ::testing::HasSubstr;
using testing::HostDevice;
using testing::ThreadWorld;

AxisPlacement split_of(int dimension, Dims extents, std::int64_t blocks = 1) {
  return {AxisPlacement::Kind::split, dimension, std::move(extents), blocks};
}

/// Whole states, and a mesh that they lie over.
struct Laid {
  Mesh mesh;
  std::map<std::string, Placement> placements;
};

class Resharding : public ::testing::Test {
 protected:
  using States = std::map<std::string, Tensor>;

  static States drawn_states(Dice& dice) {
    States states;
    const auto count = dice.roll(1, 7);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto type = dice.pick({DType::f32, DType::f16, DType::i64, DType::boolean, DType::f64});
      const std::string name = (dice.chance(30) ? "optimizer/exp_avg/" : "") + std::string("w") + std::to_string(i);
      states.emplace(name, pattern(type, drawn_shape(dice, dice.chance(20) ? 60 : 9), static_cast<std::uint64_t>(i)));
    }
    if (dice.chance(10)) states.emplace("large", pattern(DType::f32, {3, 500001}, 77));  // pieces that cut rows
    return states;
  }
  static Laid laid(Dice& dice, const States& states) {
    Laid result{drawn_mesh(dice), {}};
    for (const auto& [name, value] : states)
      result.placements[name] = drawn_placement(dice, value.shape(), result.mesh);
    return result;
  }
  static void add(StateTable& table, const States& states, const Laid& laid, int rank, bool zeros = false) {
    for (const auto& [name, value] : states) {
      const InitialValue initial = zeros ? InitialValue::zeros(value.dtype(), value.shape()) : InitialValue(value);
      table.add(name, initial, StateScope::lasting,
                shard_of({value.dtype(), value.shape()}, laid.placements.at(name), laid.mesh, rank));
    }
  }
  void save(const States& states, const Laid& laid, const std::filesystem::path& to, std::int64_t step = 1) {
    ThreadWorld(laid.mesh.ranks()).run([&](Communicator& comm) {
      HostDevice device;
      StateTable table(device);
      add(table, states, laid, comm.rank());
      save_checkpoint(comm, to, states_of(table, {}), sample_meta(step), files, 3);
    });
  }
  void expect_loads(const States& states, const Laid& laid, const std::filesystem::path& from) {
    ThreadWorld(laid.mesh.ranks()).run([&](Communicator& comm) {
      HostDevice device;
      StateTable table(device), expected(device);
      add(table, states, laid, comm.rank(), true);
      add(expected, states, laid, comm.rank());
      const LoadedCheckpoint checkpoint = load_checkpoint(comm, files, from);
      check_fits(checkpoint, states_of(table, {}));
      restore(comm, files, table, checkpoint);
      for (const auto& [name, value] : states)
        EXPECT_TRUE(table.read(name).identical(expected.read(name))) << name << " on rank " << comm.rank();
    });
  }

  testing::TemporaryFolder folder;
  PosixFileSystem files;
};

/// WEFT_DRAWS=2000 is the long form.
int draws_wanted() {
  const char* wanted = std::getenv("WEFT_DRAWS");
  return wanted == nullptr ? 40 : std::atoi(wanted);
}

TEST_F(Resharding, AnyMeshLoadsWhatAnyOtherSavedBitForBit) {
  Dice dice(3);
  for (int draws = 0; draws < draws_wanted(); ++draws) {
    const States states = drawn_states(dice);
    const Laid before = laid(dice, states), after = laid(dice, states);
    SCOPED_TRACE("draw " + std::to_string(draws) + ": " + before.mesh.str() + " to " + after.mesh.str());
    const auto one = folder.path() / "one", other = folder.path() / "other";
    save(states, before, one);
    save(states, after, other);
    ASSERT_TRUE(read_bytes(one / "step-1.h5") == read_bytes(other / "step-1.h5")) << "the same file";
    expect_loads(states, after, one / "step-1.h5");
    if (HasFailure()) return;
    std::filesystem::remove_all(one);
    std::filesystem::remove_all(other);
  }
}

TEST_F(Resharding, EightRanksSaveWhatThreeLoad) {
  const States states{{"w", pattern(DType::f32, {1000, 3001}, 1)}, {"scalar", Tensor::scalar(2.5f)}};
  const Laid eight{{{{"data", 2}, {"tensor", 4}}},
                   {{"w", {{split_of(0, {600, 400}), split_of(1, split_evenly(3001, 4))}}}, {"scalar", {}}}};
  const Laid three{{{{"tensor", 3}}}, {{"w", {{split_of(0, {0, 999, 1})}}}, {"scalar", {}}}};
  save(states, eight, folder.path());
  expect_loads(states, three, folder.path() / "step-1.h5");
}

TEST_F(Resharding, ReplicasNeedNoMessages) {
  const States states{{"w", pattern(DType::f32, {3000, 1000}, 1)}};
  const Laid replicas{{{{"data", 4}}}, {{"w", {}}}};
  ThreadWorld world(4);
  world.run([&](Communicator& comm) {
    HostDevice device;
    StateTable table(device);
    add(table, states, replicas, comm.rank());
    save_checkpoint(comm, folder.path(), states_of(table, {}), sample_meta(1), files, 3);
  });
  EXPECT_EQ(world.bytes_sent(), 0);
}

TEST_F(Resharding, AStateThatOnlySomeRanksHaveIsSavedAndLoaded) {
  const Tensor first = pattern(DType::f32, {70, 30}, 1), second = pattern(DType::f32, {9}, 2);
  const auto items = [&](int rank) {
    StateSource states{state_item("first", StateRole::parameter, first),
                       state_item("second", StateRole::parameter, second)};
    states[rank == 0 ? 1 : 0].shard.reset();
    return states;
  };
  ThreadWorld(2).run([&](Communicator& comm) {
    const SaveReport report = save_checkpoint(comm, folder.path(), items(comm.rank()), sample_meta(1), files, 3);
    HostDevice device;
    StateTable table(device);
    const std::string name = comm.rank() == 0 ? "first" : "second";
    const Tensor& value = comm.rank() == 0 ? first : second;
    table.add(name, InitialValue::zeros(value.dtype(), value.shape()));
    restore(comm, files, table, load_checkpoint(comm, files, report.path));
    EXPECT_TRUE(table.read(name).identical(value));
  });
  const LoadedCheckpoint loaded = load_checkpoint(files, folder.path() / "step-1.h5");
  EXPECT_TRUE(loaded.states.at(0).value.identical(first));
  EXPECT_TRUE(loaded.states.at(1).value.identical(second));
}

TEST_F(Resharding, PartsThatDoNotMakeAWholeAreAFault) {
  EXPECT_THROW(ThreadWorld(2).run([&](Communicator& comm) {
    StateSource states{state_item("w", StateRole::parameter, Tensor(DType::f32, {8}))};
    states[0].shard = shard_from({DType::f32, {8}}, {{{comm.rank() * 4, 3}}});
    save_checkpoint(comm, folder.path(), states, sample_meta(1), files, 3);
  }),
               InternalError);
}

TEST_F(Resharding, AFileThatChangesWhileItIsReadIsNoticedOnAllRanks) {
  const States states{{"w", pattern(DType::f32, {3000, 1000}, 1)}};
  const Laid laid{{{{"tensor", 3}}}, {{"w", {{split_of(1, split_evenly(1000, 3))}}}}};
  save(states, laid, folder.path());
  const auto path = folder.path() / "step-1.h5";
  std::string sound = read_bytes(path);
  ThreadWorld(3).run([&](Communicator& comm) {
    HostDevice device;
    StateTable table(device);
    add(table, states, laid, comm.rank());
    const LoadedCheckpoint checkpoint = load_checkpoint(comm, files, path);
    if (comm.rank() == 0) {
      sound[sound.size() / 2] ^= 1;
      write_bytes(path, sound);
    }
    barrier(comm, "changed");
    EXPECT_THAT(message_of<SystemError>([&] { restore(comm, files, table, checkpoint); }),
                AllOf(HasSubstr("changed while it was read"), HasSubstr("dataset '/statistics/w'")));
  });
}

TEST_F(Resharding, WholeStatesComeToRankZero) {
  const Tensor value = pattern(DType::f32, {1000, 3001}, 1);
  const Laid laid{{{{"data", 2}, {"tensor", 2}}}, {{"w", {{{}, split_of(1, {2000, 1001})}}}}};
  ThreadWorld(4).run([&](Communicator& comm) {
    HostDevice device;
    StateTable table(device);
    add(table, {{"w", value}}, laid, comm.rank());
    Tensor whole;
    std::int64_t at = 0, most = 0;
    if (comm.rank() == 0) whole = Tensor(value.dtype(), value.shape());
    gather_state(comm, table, "w", [&](std::int64_t offset, std::span<const std::byte> bytes) {
      EXPECT_EQ(offset, at);
      at += std::ssize(bytes);
      most = std::max(most, std::ssize(bytes));
      std::copy(bytes.begin(), bytes.end(), whole.mutable_data() + offset);
    });
    EXPECT_LE(most, 4 << 20);
    if (comm.rank() == 0) {
      EXPECT_TRUE(whole.identical(value));
      EXPECT_TRUE(gather_state(comm, table, "w").identical(value));
    } else {
      EXPECT_EQ(at, 0);
      gather_state(comm, table, "w");
    }
  });
}

TEST_F(Resharding, ReplicasOfEachPartAreCompared) {
  const Tensor value = pattern(DType::f32, {6, 10}, 1);
  const Laid laid{{{{"data", 2}, {"tensor", 2}}}, {{"w", {{{}, split_of(1, {4, 6})}}}}};
  ThreadWorld(4).run([&](Communicator& comm) {
    HostDevice device;
    StateTable table(device);
    add(table, {{"w", value}}, laid, comm.rank());
    check_replicas(comm, table, 5);
    if (comm.rank() == 3) {
      const std::byte other{0x55};
      table.write_bytes("w", 9, {&other, 1});
    }
    EXPECT_THAT(message_of<SystemError>([&] { check_replicas(comm, table, 6); }),
                AllOf(HasSubstr("after step 6"), HasSubstr("state 'w'"), HasSubstr("rank 1 ("), HasSubstr("rank 3 ("),
                      ::testing::Not(HasSubstr("rank 0")), ::testing::Not(HasSubstr("rank 2"))));
  });
}

}  // namespace
}  // namespace weft::test
