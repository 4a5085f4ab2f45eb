// Checkpoints, data and models that are truncated, changed, empty, missing or something else: named, never believed.
#include <fmt/format.h>

#include <fstream>
#include <functional>
#include <random>

#include "tests/faults/training_case.hpp"

namespace weft::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;

struct Damage {
  const char* name;
  std::function<void(const fs::path&)> apply;
};

void truncate(const fs::path& file, double share) {
  fs::resize_file(file, static_cast<std::uintmax_t>(share * static_cast<double>(fs::file_size(file))));
}

void replace(const fs::path& file, const std::string& text) {
  fs::remove_all(file);
  std::ofstream(file, std::ios::binary) << text;
}

void flip_bit(const fs::path& file, std::uintmax_t at, int bit) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(at));
  const int byte = stream.get();
  stream.seekp(static_cast<std::streamoff>(at));
  stream.put(static_cast<char>(byte ^ (1 << bit)));
}

const std::vector<Damage>& damages() {
  static const std::vector<Damage> kAll{
      {"truncated by half", [](const fs::path& f) { truncate(f, 0.5); }},
      {"one byte short", [](const fs::path& f) { fs::resize_file(f, fs::file_size(f) - 1); }},
      {"empty", [](const fs::path& f) { fs::resize_file(f, 0); }},
      {"text", [](const fs::path& f) { replace(f, "name: not what the name says\n"); }},
      {"zeros", [](const fs::path& f) { replace(f, std::string(5000, '\0')); }},
      {"a folder",
       [](const fs::path& f) {
         fs::remove(f);
         fs::create_directory(f);
       }},
      {"a link to nothing",
       [](const fs::path& f) {
         fs::remove(f);
         fs::create_symlink("nothing", f);
       }},
  };
  return kAll;
}

constexpr const char* kRenamed = "another step's, renamed";  // sound, where it is named

class DamagedCheckpoint : public TrainingCase {
 protected:
  void SetUp() override {
    TrainingCase::SetUp();
    const Ended ended = run(train(1, every_four("whole")));
    ASSERT_EQ(ended.code, 0) << ended.str();
  }
  static std::vector<std::string> every_four(const std::string& name) {
    return {"--set", "name=" + name, "--set", "checkpoint.every=4 steps"};
  }
  /// Steps 4 and 8 are there, 8 is damaged.
  void expect_passed_over(const std::string& what, const std::function<void(const fs::path&)>& apply, int ranks = 1) {
    SCOPED_TRACE(what);
    fs::remove_all(run_folder("run"));
    start_from("run", "whole", 4);
    fs::copy(checkpoint("whole", 8), checkpoint("run", 8));
    const fs::path newest = checkpoint("run", 8);
    apply(newest);
    auto options = every_four("run");
    if (fs::exists(newest) && what != kRenamed) {
      options.insert(options.end(), {"--resume", newest.string()});
      const Ended refused = run(train(ranks, options));
      EXPECT_EQ(refused.code, 2) << refused.str();
      EXPECT_THAT(refused.err, HasSubstr(newest.string()));
      options.resize(options.size() - 2);
    }
    const Ended ended = run(train(ranks, options));
    EXPECT_EQ(ended.code, 0) << ended.str();
    EXPECT_THAT(ended.err, HasSubstr("passing over " + newest.string() + ": "));
    EXPECT_THAT(ended.err, HasSubstr("resuming from " + checkpoint("run", 4).string() + " (step 4 of 12)"));
    if (ranks == 1) {
      EXPECT_EQ(first_difference(checkpoint("run", 12), checkpoint("whole", 12)), "");
    }
  }
};

TEST_F(DamagedCheckpoint, IsPassedOverByNameAndTheOlderOneIsTaken) {
  for (const Damage& damage : damages()) expect_passed_over(damage.name, damage.apply);
  expect_passed_over("training data", [&](const fs::path& f) {
    fs::copy_file(folder() / "data.h5", f, fs::copy_options::overwrite_existing);
  });
  expect_passed_over(kRenamed, [&](const fs::path& f) {
    fs::copy_file(checkpoint("whole", 12), f, fs::copy_options::overwrite_existing);
  });
  expect_passed_over(
      "truncated, on two ranks", [](const fs::path& f) { truncate(f, 0.7); }, 2);
}

TEST_F(DamagedCheckpoint, IsFoundOutWhereverABitFlips) {
  std::mt19937 random(5);
  const std::uintmax_t size = fs::file_size(checkpoint("whole", 8));
  for (int k = 0; k < 8; ++k) {
    const std::uintmax_t at = random() % size;
    const int bit = static_cast<int>(random() % 8);
    expect_passed_over(fmt::format("bit {} of byte {}", bit, at), [&](const fs::path& f) { flip_bit(f, at, bit); });
  }
}

TEST_F(DamagedCheckpoint, ThatIsMissingIsSaid) {
  auto options = every_four("run");
  options.insert(options.end(), {"--resume", "nowhere.h5"});
  const Ended ended = run(train(1, options));
  EXPECT_THAT(ended.code, AnyOf(2, 3)) << ended.str();
  EXPECT_THAT(ended.err, HasSubstr("nowhere.h5"));
  EXPECT_THAT(ended.err, HasSubstr("No such file or directory"));
}

TEST_F(DamagedCheckpoint, OfAnotherModelIsRefusedAndNothingIsTouched) {
  start_from("run", "whole", 8);
  write_network(folder() / "network.onnx", 0.5);
  const Ended ended = run(train(1, every_four("run")));
  EXPECT_EQ(ended.code, 2) << ended.str();
  EXPECT_THAT(ended.err, HasSubstr("was made from another model file"));
  EXPECT_EQ(sound_checkpoints("run"), std::vector<std::int64_t>{8});
}

class DamagedInput : public TrainingCase {
 protected:
  void expect_refused(const fs::path& file) const {
    const Ended ended = run(train(1));
    EXPECT_THAT(ended.code, AnyOf(2, 3)) << ended.str();
    EXPECT_THAT(ended.err, HasSubstr(file.filename().string()));
    EXPECT_LT(ended.err.size(), 2000U) << "no dump of a library's own";
    EXPECT_TRUE(sound_checkpoints("run").empty());
  }
};

TEST_F(DamagedInput, DataIsNamedAndRefused) {
  const fs::path data = folder() / "data.h5", whole = folder() / "whole.h5";
  fs::rename(data, whole);
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.name);
    fs::remove_all(data);
    fs::copy_file(whole, data);
    damage.apply(data);
    expect_refused(data);
  }
  fs::remove_all(data);
  expect_refused(data);
}

TEST_F(DamagedInput, ABitFlippedInTheImagesIsFoundByTheirChecksum) {
  const fs::path data = folder() / "data.h5";
  flip_bit(data, fs::file_size(data) / 2, 3);
  const Ended ended = run(train(1));
  EXPECT_EQ(ended.code, 2) << ended.str();
  EXPECT_THAT(ended.err, HasSubstr("images"));
  EXPECT_THAT(ended.err, HasSubstr("checksum"));
}

TEST_F(DamagedInput, AModelIsNamedAndRefused) {
  const fs::path model = folder() / "network.onnx", whole = folder() / "whole.onnx";
  fs::rename(model, whole);
  for (const Damage& damage : damages()) {
    if (std::string_view(damage.name) == "one byte short") continue;  // may be a model still
    SCOPED_TRACE(damage.name);
    fs::remove_all(model);
    fs::copy_file(whole, model);
    damage.apply(model);
    expect_refused(model);
  }
  fs::remove_all(model);
  expect_refused(model);
}

}  // namespace
}  // namespace weft::testing
