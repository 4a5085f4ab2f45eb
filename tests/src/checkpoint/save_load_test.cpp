// What is saved is loaded, bit for bit, in a plain HDF5 file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "src/checkpoint/commit_record.hpp"
#include "src/checkpoint/folder.hpp"
#include "src/hdf5/hdf5_file.hpp"
#include "tests/src/checkpoint/sample.hpp"
#include "tests/support/host_device.hpp"
#include "tests/support/temporary_folder.hpp"
#include "weft/hash.hpp"

namespace weft::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Checkpoints : public ::testing::Test {
 protected:
  SaveReport save(std::int64_t step, const StateSource& states, int keep = 3) {
    return save_checkpoint(*alone, folder.path(), states, sample_meta(step), files, keep);
  }

  testing::TemporaryFolder folder;
  PosixFileSystem files;
  std::unique_ptr<Communicator> alone = make_single_communicator();
};

TEST_F(Checkpoints, WhatIsSavedIsLoaded) {
  const StateSource states = sample_states();
  const SaveReport report = save(40, states);
  EXPECT_EQ(report.path, folder.path() / "step-40.h5");
  EXPECT_EQ(report.bytes, static_cast<std::int64_t>(std::filesystem::file_size(report.path)));
  expect_holds(load_checkpoint(files, report.path), states, sample_meta(40));
  EXPECT_THAT(files.list(folder.path()), ElementsAre("step-40.h5"));
}

TEST_F(Checkpoints, StatesOfSeveralPiecesAreLoaded) {
  StateSource states;
  states.push_back(state_item("big", StateRole::parameter, pattern(DType::f32, {3 << 20}, 1)));
  states.push_back(state_item("odd", StateRole::parameter, pattern(DType::u8, {kPieceBytes + 1}, 2)));
  expect_holds(load_checkpoint(files, save(1, states).path), states, sample_meta(1));
}

TEST_F(Checkpoints, ACheckpointWithoutStatesIsOne) {
  expect_holds(load_checkpoint(files, save(0, {}).path), {}, sample_meta(0));
}

TEST_F(Checkpoints, LongJobsAreKept) {
  CheckpointMeta meta = sample_meta(1);
  meta.job.assign(300000, 'x');
  const auto report = save_checkpoint(*alone, folder.path(), {}, meta, files, 1);
  EXPECT_EQ(load_checkpoint(files, report.path).meta.job, meta.job);
}

TEST_F(Checkpoints, EqualStatesGiveEqualFiles) {
  const std::string first = read_bytes(save(1, sample_states()).path);
  std::filesystem::remove(folder.path() / "step-1.h5");
  EXPECT_EQ(read_bytes(save(1, sample_states()).path), first);
}

TEST_F(Checkpoints, Hdf5ToolsReadThem) {
  const SaveReport report = save(40, sample_states());
  const std::string out = (folder.path() / "dump.txt").string();
  if (std::system("command -v h5dump > /dev/null") != 0) GTEST_SKIP() << "h5dump is not installed";
  ASSERT_EQ(std::system(("h5dump -d /parameters/fc.bias -d /scalars/step -a /step '" + report.path.string() + "' > '" +
                         out + "'")
                            .c_str()),
            0);
  EXPECT_THAT(read_bytes(out), AllOf(HasSubstr("DATASET \"/parameters/fc.bias\""), HasSubstr("H5T_IEEE_F32LE"),
                                     HasSubstr("(0): 40"), HasSubstr("(0): 7")));
}

TEST_F(Checkpoints, TheTableOfChecksumsIsOfTheData) {
  const StateSource states = sample_states();
  const hdf5::File file = hdf5::File::open(save(1, states).path.string());
  const auto names = std::get<std::vector<std::string>>(*file.attribute("/checksums", "datasets"));
  const Tensor sums = file.dataset("/checksums").read();
  ASSERT_EQ(names.size(), states.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Tensor value = file.dataset(names[i]).read();
    EXPECT_EQ(sums.values<std::uint64_t>()[i], hash64({value.data(), value.bytes()})) << names[i];
  }
}

TEST_F(Checkpoints, ADescriptionHasEverythingButTheValues) {
  const StateSource states = sample_states();
  const LoadedCheckpoint described = describe_checkpoint(files, save(3, states).path);
  EXPECT_EQ(described.meta, sample_meta(3));
  EXPECT_EQ(described.states.size(), states.size());
  EXPECT_NO_THROW(check_fits(described, states));
}

TEST_F(Checkpoints, TheNewestAreKept) {
  for (const int step : {5, 10, 9, 100}) save(step, sample_states(), 2);
  EXPECT_THAT(files.list(folder.path()), ElementsAre("step-10.h5", "step-100.h5"));
}

TEST_F(Checkpoints, SavingAStepAgainReplacesIt) {
  save(5, sample_states(1));
  expect_holds(load_checkpoint(files, save(5, sample_states(2)).path), sample_states(2), sample_meta(5));
}

TEST_F(Checkpoints, OtherFilesOfTheFolderStay) {
  for (const char* name : {"notes.txt", "step-x.h5", "step-.h5", "step-1.h5.bak", ".step-y.h5.partial"})
    write_bytes(folder.path() / name, "mine");
  write_bytes(folder.path() / ".step-3.h5.partial", "left by a crash");
  save(5, sample_states(), 1);
  EXPECT_THAT(files.list(folder.path()),
              ElementsAre(".step-y.h5.partial", "notes.txt", "step-.h5", "step-1.h5.bak", "step-5.h5", "step-x.h5"));
}

TEST_F(Checkpoints, ARunThatGoesBackSetsLaterOnesAside) {
  for (const int step : {5, 10, 15}) save(step, sample_states());
  EXPECT_EQ(set_aside_after(files, folder.path(), 5).size(), 2u);
  std::vector<RejectedCheckpoint> rejected;
  EXPECT_EQ(newest_valid(files, folder.path(), rejected)->step, 5);
  EXPECT_TRUE(rejected.empty());
}

TEST_F(Checkpoints, TablesAreSavedAndRestored) {
  testing::HostDevice device;
  StateTable table(device), other(device);
  for (StateTable* t : {&table, &other}) {
    t->add("w", Tensor(DType::f32, {2, 2}));
    t->add("running_mean", Tensor(DType::f32, {2}));
    t->add("optimizer/momentum/w", Tensor(DType::f32, {2, 2}));
    t->add("accumulate/w", Tensor(DType::f32, {2, 2}));
    t->add("loss_scale", Tensor::scalar(1.0f));
  }
  for (const std::string& name : table.names())
    table.write(name, pattern(DType::f32, table.at(name).type.shape, name.size()));
  const LoadedCheckpoint loaded = load_checkpoint(files, save(1, states_of(table, {"w"})).path);
  check_fits(loaded, states_of(other, {"w"}));
  restore(*alone, files, other, loaded);
  EXPECT_EQ(other.hash(), table.hash());
  const hdf5::File file = hdf5::File::open(loaded.path.string());
  for (const char* path :
       {"/parameters/w", "/statistics/running_mean", "/optimizer/momentum/w", "/accumulate/w", "/scalars/loss_scale"})
    EXPECT_TRUE(file.exists(path)) << path;
}

TEST(CheckpointNames, EveryStateHasOnePathAndComesBackFromIt) {
  const std::pair<StateKey, const char*> cases[] = {
      {{"fc.weight", StateRole::parameter}, "/parameters/fc.weight"},
      {{"/a/b", StateRole::parameter}, "/parameters/%2Fa%2Fb"},
      {{"100%/x", StateRole::statistic}, "/statistics/100%25%2Fx"},
      {{".", StateRole::parameter}, "/parameters/%2E"},
      {{"a\n\x7f", StateRole::parameter}, "/parameters/a%0A%7F"},
      {{"größe", StateRole::parameter}, "/parameters/größe"},
      {{"optimizer/exp_avg//a/b", StateRole::other}, "/optimizer/exp_avg/%2Fa%2Fb"},
      {{"optimizer/odd", StateRole::other}, "/scalars/optimizer%2Fodd"},
      {{"optimizer/x", StateRole::parameter}, "/parameters/optimizer%2Fx"},
      {{"accumulate/w", StateRole::other}, "/accumulate/w"},
      {{"step", StateRole::other}, "/scalars/step"},
  };
  for (const auto& [key, path] : cases) {
    EXPECT_EQ(dataset_path(key.name, key.role), path);
    const StateKey back = state_of_path(path);
    EXPECT_EQ(back.name, key.name);
    EXPECT_EQ(back.role, key.role);
  }
}

TEST(CheckpointNames, PathsThatAreNoStatesAreRefused) {
  for (const char* path : {"/", "/parameters", "/parameters/a/b", "/parameters/%", "/parameters/%2", "/parameters/%zz",
                           "/optimizer/a", "/optimizer/a/b/c", "/else/x"})
    EXPECT_THROW(state_of_path(path), UserError) << path;
}

}  // namespace
}  // namespace weft::test
