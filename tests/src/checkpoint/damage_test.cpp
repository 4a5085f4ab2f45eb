// Damaged and foreign files: always refused, saying what is wrong; the newest sound one is found behind them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "src/checkpoint/commit_record.hpp"
#include "src/hdf5/hdf5_file.hpp"
#include "tests/src/checkpoint/sample.hpp"
#include "tests/support/temporary_folder.hpp"
#include "weft/hash.hpp"

namespace weft::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    path = save_checkpoint(*alone, folder.path(), sample_states(), sample_meta(40), files, 3).path;
    sound = read_bytes(path);
  }
  std::string refusal(const std::string& bytes) {
    write_bytes(path, bytes);
    return message_of<UserError>([&] { load_checkpoint(files, path); });
  }

  testing::TemporaryFolder folder;
  PosixFileSystem files;
  std::unique_ptr<Communicator> alone = make_single_communicator();
  std::filesystem::path path;
  std::string sound;
};

TEST_F(Damage, TruncationIsNoticedAtEveryLength) {
  std::vector<std::size_t> lengths;
  for (std::size_t length = 0; length < sound.size(); length += 4096) lengths.push_back(length);
  for (std::size_t back = 1; back < 200; ++back) lengths.push_back(sound.size() - back);
  for (std::size_t length = 1; length < 600; length += 37) lengths.push_back(length);
  for (const std::size_t length : lengths)
    EXPECT_THAT(refusal(sound.substr(0, length)), AllOf(HasSubstr("step-40.h5"), HasSubstr("cannot be used")))
        << length;
  EXPECT_THAT(refusal(""), HasSubstr("empty"));
  EXPECT_THAT(refusal(sound.substr(0, sound.size() / 2)), HasSubstr("truncated"));
}

/// WEFT_FLIPS of them all over the file; 3000 unless told.
int flips() {
  const char* wanted = std::getenv("WEFT_FLIPS");
  return wanted != nullptr ? std::atoi(wanted) : 3000;
}

TEST_F(Damage, EveryFlippedBitIsNoticed) {
  std::mt19937 random(1);
  // Every byte of the record, and bits all over the rest.
  std::vector<std::size_t> bits;
  const std::size_t all = sound.size() * 8;
  for (std::size_t byte = sound.size() - 64; byte < sound.size(); ++byte) bits.push_back(byte * 8 + random() % 8);
  for (int i = 0; i < flips(); ++i) bits.push_back(std::uniform_int_distribution<std::size_t>(0, all - 1)(random));
  for (int i = 0; i < 2000; ++i) bits.push_back(std::uniform_int_distribution<std::size_t>(0, 8 * 2048)(random));
  const auto file = files.open(path, OpenMode::write);
  for (const std::size_t bit : bits) {
    const auto offset = static_cast<std::int64_t>(bit / 8);
    const std::byte was{static_cast<unsigned char>(sound[bit / 8])};
    const std::byte flipped = was ^ static_cast<std::byte>(1 << (bit % 8));
    file->write_at({&flipped, 1}, offset);
    EXPECT_THAT(message_of<UserError>([&] { load_checkpoint(files, path); }), HasSubstr("cannot be used"))
        << "bit " << bit;
    file->write_at({&was, 1}, offset);
  }
}

TEST_F(Damage, ADamagedDatasetIsNamed) {
  std::size_t offset = 0;
  {
    const hdf5::File file = hdf5::File::open(path.string());
    offset = static_cast<std::size_t>(*file.dataset("/optimizer/momentum/fc.bias").raw_offset());
  }
  std::string damaged = sound;
  damaged[offset + 5] = static_cast<char>(damaged[offset + 5] ^ 1);
  EXPECT_THAT(refusal(damaged), AllOf(HasSubstr("damaged"), HasSubstr("/optimizer/momentum/fc.bias")));
}

TEST_F(Damage, SwappedBlocksAreNoticed) {
  std::string damaged = sound;
  std::swap_ranges(damaged.begin(), damaged.begin() + 512, damaged.begin() + 512);
  EXPECT_THAT(refusal(damaged), HasSubstr("cannot be used"));
}

TEST_F(Damage, BytesAfterTheEndAreNoticed) { EXPECT_THAT(refusal(sound + "x"), HasSubstr("commit record")); }

TEST_F(Damage, AnotherHdf5FileIsCalledThat) {
  std::filesystem::remove(path);
  {
    hdf5::File file = hdf5::File::create(path.string());
    file.create_dataset("/images", DType::u8, {1000}).write(Tensor(DType::u8, {1000}));
    file.close();
  }
  EXPECT_THAT(message_of<UserError>([&] { load_checkpoint(files, path); }),
              HasSubstr("an HDF5 file but not a checkpoint"));
  EXPECT_FALSE(looks_like_checkpoint(files, path));
}

TEST_F(Damage, AFileOfAnotherKindIsCalledThat) {
  EXPECT_THAT(refusal(std::string(5000, 'a')), HasSubstr("not an HDF5 file"));
  EXPECT_THAT(refusal("weft-checkpoint"), HasSubstr("not an HDF5 file"));
}

TEST_F(Damage, AMissingFileIsTheSystems) {
  EXPECT_THAT(message_of<SystemError>([&] { load_checkpoint(files, folder.path() / "none.h5"); }),
              AllOf(HasSubstr("none.h5"), HasSubstr("No such file")));
  EXPECT_THAT(message_of<UserError>([&] { load_checkpoint(files, folder.path()); }), HasSubstr("not a regular file"));
}

TEST_F(Damage, ANewerFormatAsksForANewerWeft) {
  // The format's number is 32 bytes before the end; the record's hash is made anew.
  std::string newer = sound;
  newer[newer.size() - 32] = 2;
  std::uint64_t content = 0;
  std::memcpy(&content, newer.data() + newer.size() - 56, 8);
  const std::string_view record = std::string_view(newer).substr(content, newer.size() - content - 8);
  const std::uint64_t hash = hash64(record);
  std::memcpy(newer.data() + newer.size() - 8, &hash, 8);
  EXPECT_THAT(refusal(newer), AllOf(HasSubstr("format 2"), HasSubstr("newer Weft")));
}

/// A file whose record is sound in itself, over content that is not what a save writes.
std::string resealed(std::string content, CommitRecord record) {
  for (Piece& piece : record.pieces)
    piece.hash = hash64(std::string_view(content).substr(static_cast<std::size_t>(piece.offset),
                                                         static_cast<std::size_t>(piece.length)));
  const auto bytes = encode(record);
  return content + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

TEST_F(Damage, ARecordThatDoesNotFitTheDatasetsIsRefused) {
  const CommitRecord record = read_commit_record(*files.open(path, OpenMode::read));
  const std::string content = sound.substr(0, static_cast<std::size_t>(record.content_bytes()));
  ASSERT_EQ(resealed(content, record), sound);

  CommitRecord renamed = record;
  renamed.names[1] = "/parameters/other";
  EXPECT_THAT(refusal(resealed(content, renamed)), HasSubstr("do not match"));

  CommitRecord uncovered = record;
  for (Piece& piece : uncovered.pieces) piece.name = 0;
  EXPECT_THAT(refusal(resealed(content, uncovered)), HasSubstr("does not cover"));

  CommitRecord gap = record;
  gap.pieces.erase(gap.pieces.begin() + 1);
  EXPECT_THAT(refusal(resealed(content, gap)), HasSubstr("malformed"));

  CommitRecord swapped = record;
  std::swap(swapped.names[1], swapped.names[2]);
  EXPECT_THAT(refusal(resealed(content, swapped)), HasSubstr("do not match"));
}

TEST_F(Damage, Hdf5GarbageUnderASoundRecordIsRefusedNotFollowed) {
  const CommitRecord record = read_commit_record(*files.open(path, OpenMode::read));
  const std::string content = sound.substr(0, static_cast<std::size_t>(record.content_bytes()));
  std::mt19937 random(2);
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    std::string damaged = content;
    const std::size_t bit = random() % (std::min<std::size_t>(damaged.size(), 12000) * 8);
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    refused += refusal(resealed(damaged, record)) != "no error";
  }
  // HDF5's own checksums cover its structures; flips in gaps and data are harmless here, for the record was made anew.
  EXPECT_GT(refused, 30);
}

TEST_F(Damage, TheNewestSoundOneIsFoundBehindUnsoundOnes) {
  for (const int step : {50, 60, 70})
    save_checkpoint(*alone, folder.path(), sample_states(), sample_meta(step), files, 9);
  write_bytes(folder.path() / "step-70.h5", sound.substr(0, 5000));
  std::filesystem::copy(folder.path() / "step-50.h5", folder.path() / "step-60.h5",
                        std::filesystem::copy_options::overwrite_existing);
  write_bytes(folder.path() / "step-80.h5", "");
  std::vector<RejectedCheckpoint> rejected;
  const auto found = load_newest(*alone, files, folder.path(), rejected);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->path, folder.path() / "step-50.h5");
  EXPECT_EQ(found->meta, sample_meta(50));
  ASSERT_EQ(rejected.size(), 3u);
  EXPECT_THAT(rejected[0].reason, AllOf(HasSubstr("step-80.h5"), HasSubstr("empty")));
  EXPECT_THAT(rejected[1].reason, AllOf(HasSubstr("step-70.h5"), HasSubstr("truncated")));
  EXPECT_THAT(rejected[2].reason, HasSubstr("it holds step 50"));
}

TEST_F(Damage, AFolderWithoutCheckpointsHasNone) {
  std::vector<RejectedCheckpoint> rejected;
  EXPECT_FALSE(newest_valid(files, folder.path() / "none", rejected).has_value());
  EXPECT_FALSE(load_newest(*alone, files, folder.path() / "none", rejected).has_value());
  EXPECT_TRUE(rejected.empty());
}

TEST_F(Damage, AnotherModelsCheckpointNamesTheFirstDifference) {
  const LoadedCheckpoint loaded = load_checkpoint(files, path);
  StateSource wider = sample_states();
  wider[1] = state_item("fc.bias", StateRole::parameter, Tensor(DType::f32, {11}));
  EXPECT_THAT(message_of<UserError>([&] { check_fits(loaded, wider); }),
              HasSubstr("parameter 'fc.bias' is f32[10] in it and f32[11] here"));
  StateSource more = sample_states();
  more.push_back(state_item("fc2.bias", StateRole::parameter, Tensor(DType::f32, {11})));
  EXPECT_THAT(message_of<UserError>([&] { check_fits(loaded, more); }),
              HasSubstr("it has no parameter 'fc2.bias' (f32[11] here)"));
  StateSource fewer = sample_states();
  fewer.erase(fewer.begin());
  EXPECT_THAT(message_of<UserError>([&] { check_fits(loaded, fewer); }),
              HasSubstr("it has a parameter '/layer1/conv1/weight' (f32[8, 3, 3, 3]) that is not here"));
  StateSource frozen = sample_states();
  frozen[1].role = StateRole::statistic;
  EXPECT_THAT(message_of<UserError>([&] { check_fits(loaded, frozen); }), HasSubstr("a statistic here"));
}

}  // namespace
}  // namespace weft::test
