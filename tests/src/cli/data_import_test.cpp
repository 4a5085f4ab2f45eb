// weft data import, from the outside: what every kind becomes, and every refusal: its words, its exit code, and that
// it leaves nothing behind.
#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "tests/src/cli/run_weft.hpp"
#include "tests/support/temporary_folder.hpp"

namespace weft::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

// Grey PNG images of 1 x 1 and of 2 x 1 pixels.
const std::string kOnePixel = from_hex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a4944415478da63e00200000c00"
    "0bcab251110000000049454e44ae426082");
const std::string kTwoPixels = from_hex(
    "89504e470d0a1a0a0000000d4948445200000002000000010800000000d14920560000000b4944415478da63e0e202000021"
    "00150b60d47d0000000049454e44ae426082");

struct SourceFile {
  std::string name, bytes;
};

std::string idx(const std::string& type_and_rank, const std::vector<int>& extents, const std::string& elements) {
  std::string out = std::string("\0\0", 2) + type_and_rank;
  for (const int extent : extents)
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(extent >> shift);
  return out + elements;
}
const std::string kBytes1("\x08\x01", 2), kBytes3("\x08\x03", 2);

class DataImport : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  void write(const SourceFile& file) const {
    const auto target = folder_.path() / file.name;
    std::filesystem::create_directories(target.parent_path());
    std::ofstream(target, std::ios::binary) << file.bytes;
  }
  std::set<std::string> entries() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) names.insert(entry.path());
    return names;
  }
  /// `weft data import ARGUMENTS -o out.h5` in the folder, which must fail with `code` and change nothing.
  void expect_refusal(const std::vector<SourceFile>& files, const std::vector<std::string>& arguments, int code,
                      const std::vector<std::string>& words) const {
    for (const auto& file : files) write(file);
    const auto before = entries();
    std::vector<std::string> all{"data", "import"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    if (std::find(all.begin(), all.end(), "-o") == all.end()) all.insert(all.end(), {"-o", "out.h5"});
    const auto outcome = run_weft(all, {}, folder_.path().string());
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_THAT(outcome.out, IsEmpty());
    for (const auto& word : words) EXPECT_THAT(outcome.err, HasSubstr(word));
    EXPECT_EQ(entries(), before) << "something was left behind";
  }
  Outcome import(const std::vector<SourceFile>& files, const std::vector<std::string>& arguments) const {
    for (const auto& file : files) write(file);
    std::vector<std::string> all{"data", "import"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    all.insert(all.end(), {"-o", "out.h5"});
    return run_weft(all, {}, folder_.path().string());
  }
  TemporaryFolder folder_;
};

const std::vector<SourceFile> kTwoImages = {{"x-images", idx(kBytes3, {2, 1, 2}, "abcd")},
                                            {"x-labels", idx(kBytes1, {2}, std::string("\0\1", 2))}};

TEST_F(DataImport, IdxFindsItsLabelsAndNamesItsClasses) {
  const auto outcome = import(kTwoImages, {"x-images", "--classes", "cat,dog"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("u8 [2, 1, 1, 2]"));
  EXPECT_THAT(outcome.out, HasSubstr("2 classes: cat, dog"));
}

TEST_F(DataImport, IdxThatIsMalformedIsRefused) {
  const auto labels = kTwoImages[1];
  expect_refusal({{"x-images", idx(kBytes3, {2, 1, 2}, "abc")}, labels}, {"x-images"}, 2, {"x-images", "truncated"});
  expect_refusal({{"x-images", idx(kBytes3, {2, 1, 2}, "abcde")}, labels}, {"x-images"}, 2,
                 {"x-images", "bytes after the end"});
  expect_refusal({{"x-images", idx("\x07\x03", {2, 1, 2}, "abcd")}, labels}, {"x-images"}, 2,
                 {"x-images", "0x07 is none of IDX's"});
  expect_refusal({{"x-images", idx(kBytes3, {2, 0, 2}, "")}, labels}, {"x-images"}, 2, {"is empty"});
  expect_refusal({{"x-images", idx(kBytes3, {1 << 30, 1 << 30, 1 << 30}, "abcd")}, labels}, {"x-images"}, 2,
                 {"x-images", "more than 2^48 elements"});
  expect_refusal({{"x-images", idx(kBytes3, {1 << 30, 1 << 10, 1 << 8}, "abcd")}, labels}, {"x-images"}, 2,
                 {"x-images", "claims shape"});
  expect_refusal({{"x-images", std::string("\0\0\x08", 3)}, labels}, {"x-images", "--kind", "idx"}, 2, {"truncated"});
  expect_refusal({{"x-images", "\x1f\x8b\x08garbage"}, labels}, {"x-images", "--kind", "idx"}, 2, {"gzip", "x-images"});
}

TEST_F(DataImport, IdxWithoutFittingLabelsIsRefused) {
  expect_refusal({kTwoImages[0]}, {"x-images"}, 2, {"'x-labels' is not beside it"});
  expect_refusal({{"pictures", kTwoImages[0].bytes}}, {"pictures"}, 2, {"has no 'images' in its name", "give it"});
  expect_refusal(kTwoImages, {"x-labels"}, 2, {"holds labels", "give the images' file"});
  expect_refusal({kTwoImages[0], {"x-labels", idx(kBytes1, {3}, "abc")}}, {"x-images"}, 2,
                 {"holds 2 samples", "3: they do not belong together"});
  expect_refusal(kTwoImages, {"x-images", "--labels", "x-images"}, 2, {"labels must have rank 1"});
  expect_refusal(kTwoImages, {"x-images", "--labels", "nothing"}, 3, {"nothing", "No such file"});
  expect_refusal(kTwoImages, {"x-images", "--classes", "cat"}, 2, {"labels go from 0 to 1, and 1 class names"});
  expect_refusal(kTwoImages, {"x-images", "--classes", "cat,,dog"}, 2, {"an empty name"});
}

TEST_F(DataImport, ANumpyArchiveThatIsDamagedIsRefused) {
  expect_refusal({{"a.npz", "PK\x03\x04garbage"}}, {"a.npz"}, 2, {"a.npz"});
  expect_refusal({{"a.npz", ""}}, {"a.npz"}, 2, {"a.npz", "of no known kind"});
  expect_refusal({{"a.npz", "PK\x05\x06" + std::string(18, '\0')}}, {"a.npz"}, 2, {"a.npz", "0 arrays"});
}

TEST_F(DataImport, ATableTakesItsTargetDelimiterAndHeaderFromOptions) {
  const auto outcome = import({{"a.csv", "y;x\n1;7\n0;8\n"}}, {"a.csv", "--delimiter", ";", "--target", "y"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("f32 [2, 1], from 7 to 8"));
  const auto tabs = import({{"a.txt", "1\t7\n0\t8\n"}},
                           {"a.txt", "--kind", "csv", "--delimiter", "tab", "--header", "no", "--target", "none"});
  EXPECT_THAT(tabs.out, HasSubstr("f32 [2, 2], from 0 to 8"));
}

TEST_F(DataImport, ATableThatIsMalformedIsRefusedWithLineAndColumn) {
  expect_refusal({{"a.csv", "a,b\n1,2\nx,3\n"}}, {"a.csv"}, 2, {"a.csv: line 3, column 'a': 'x' is no finite number"});
  expect_refusal({{"a.csv", "1,2\n1,2,3\n"}}, {"a.csv"}, 2, {"a.csv: line 2 has 3 fields"});
  expect_refusal({{"a.csv", "1,2\nnan,3\n"}}, {"a.csv"}, 2, {"line 2", "'nan' is no finite number"});
  expect_refusal({{"a.csv", "1,\"2\n3,4"}}, {"a.csv"}, 2, {"a quote does not end"});
  expect_refusal({{"a.csv", std::string("1,2\n\0,3", 7)}}, {"a.csv"}, 2, {"this is no text"});
  expect_refusal({{"a.csv", ""}}, {"a.csv"}, 2, {"a.csv: is empty"});
  expect_refusal({{"a.csv", "a,b\n"}}, {"a.csv"}, 2, {"a header and no rows"});
  expect_refusal({{"a.csv", "1\n2\n"}}, {"a.csv"}, 2, {"one column only", "another delimiter"});
}

TEST_F(DataImport, ATablesOptionsAreChecked) {
  const std::vector<SourceFile> table = {{"a.csv", "a,b\n1,2\n"}};
  expect_refusal(table, {"a.csv", "--target", "c"}, 2, {"there is no column 'c'", "a, b"});
  expect_refusal(table, {"a.csv", "--target", "2"}, 2, {"there is no column '2'"});
  expect_refusal(table, {"a.csv", "--delimiter", "--"}, 2, {"--delimiter takes one character"});
  expect_refusal(table, {"a.csv", "--header", "maybe"}, 2, {"--header takes yes or no"});
  expect_refusal(table, {"a.csv", "--header", "no"}, 2, {"line 1", "'a' is no finite number"});
}

TEST_F(DataImport, AFolderOfImagesNamesItsClassesAfterItsFolders) {
  const auto outcome = import({{"all/cat/1.png", kOnePixel}, {"all/dog/1.png", kOnePixel}}, {"all", "--grey"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("u8 [2, 1, 1, 1]"));
  EXPECT_THAT(outcome.out, HasSubstr("2 classes: cat, dog"));
  EXPECT_THAT(import({}, {"all", "--size", "4x6"}).out, HasSubstr("u8 [2, 3, 4, 6]"));
}

TEST_F(DataImport, AFolderThatIsNotOneOfImagesByClassIsRefused) {
  expect_refusal({{"empty/readme", ""}}, {"empty"}, 2, {"has no folders of images", "empty/CLASS/IMAGE.jpg"});
  expect_refusal({{"one/cat/readme", ""}}, {"one"}, 2, {"class 'cat' has no images"});
  expect_refusal({{"two/cat/1.png", kOnePixel}, {"two/cat/2.png", kTwoPixels}}, {"two"}, 2,
                 {"2.png: is 2 x 1 pixels", "give a size"});
  expect_refusal({{"bad/cat/1.png", kOnePixel.substr(0, 50)}}, {"bad"}, 2, {"1.png", "PNG"});
  expect_refusal({{"jpg/cat/1.jpg", "\xff\xd8\xff\xe0garbage"}}, {"jpg"}, 2, {"1.jpg", "JPEG"});
}

TEST_F(DataImport, ASizeThatIsNoneIsRefused) {
  const std::vector<SourceFile> image = {{"all/cat/1.png", kOnePixel}};
  for (const auto* size : {"0", "x", "4x", "x4", "-1", "4x4x4", "4 x 4"})
    expect_refusal(image, {"all", "--size", size}, 2, {"--size takes pixels", size});
  expect_refusal(image, {"all", "--size", "999999999"}, 2, {"999999999"});
}

TEST_F(DataImport, TextIsCutIntoSamplesOfTheGivenLength) {
  const auto bytes = import({{"a.txt", "abcdefgh"}}, {"a.txt", "--length", "3"});
  ASSERT_EQ(bytes.code, 0) << bytes.err;
  EXPECT_THAT(bytes.out, HasSubstr("u8 [2, 3]"));
  const auto tokens = import({{"vocabulary", "ab\ncd\nef\ngh\n"}, {"book", "abcdefgh"}},
                             {"book", "--length", "1", "--vocabulary", "vocabulary"});
  EXPECT_THAT(tokens.out, HasSubstr("u8 [3, 1], from 0 to 2"));
}

TEST_F(DataImport, TextThatCannotBeTokenisedIsRefused) {
  expect_refusal({{"a.txt", "abc"}}, {"a.txt"}, 2, {"has 3 tokens", "needs 129"});
  expect_refusal({{"a.txt", ""}}, {"a.txt"}, 2, {"has 0 tokens"});
  expect_refusal({{"a.txt", "aaxa"}, {"v", "a\n"}}, {"a.txt", "--vocabulary", "v", "--length", "1"}, 2,
                 {"byte 2 (0x78)", "<unk>"});
  expect_refusal({{"a.txt", "aa"}, {"v", "a\na\n"}}, {"a.txt", "--vocabulary", "v"}, 2, {"line 2", "was there before"});
  expect_refusal({{"a.txt", "aa"}, {"v", ""}}, {"a.txt", "--vocabulary", "v"}, 2, {"the vocabulary is empty"});
  expect_refusal({{"a.txt", "aa"}}, {"a.txt", "--vocabulary", "none"}, 3, {"none", "No such file"});
  expect_refusal({{"a.txt", "aa"}}, {"a.txt", "--length", "0"}, 2, {"--length takes a whole number from 1"});
}

TEST_F(DataImport, AnOptionOfAnotherKindIsRefused) {
  expect_refusal(kTwoImages, {"x-images", "--target", "y"}, 2, {"--target is for a table, and x-images is IDX images"});
  expect_refusal(kTwoImages, {"x-images", "--size", "4"}, 2, {"--size is for a folder of images"});
  expect_refusal(kTwoImages, {"x-images", "--length", "4"}, 2, {"--length is for text"});
  expect_refusal({{"a.csv", "1,2\n"}}, {"a.csv", "--labels", "x-labels"}, 2, {"--labels is for IDX images"});
  expect_refusal({{"a.txt", "1,2\n"}}, {"a.txt", "--classes", "a,b"}, 2, {"--classes names integer labels"});
}

TEST_F(DataImport, ASourceOfNoKnownKindOrWithoutAFileIsRefused) {
  expect_refusal({{"a.xyz", "hello"}}, {"a.xyz"}, 2, {"a.xyz: of no known kind", "--kind"});
  expect_refusal({{"a.xyz", "hello"}}, {"a.xyz", "--kind", "cvs"}, 2, {"no kind 'cvs', did you mean 'csv'?"});
  expect_refusal({}, {"nothing.csv"}, 3, {"nothing.csv", "No such file"});
  expect_refusal({}, {"/dev/zero"}, 2, {"/dev/zero: is not a regular file"});
}

TEST_F(DataImport, AnOutputThatCannotBeWrittenIsRefused) {
  const std::vector<SourceFile> table = {{"a.csv", "1,2\n"}, {"full/x", ""}};
  expect_refusal(table, {"a.csv", "-o", "full"}, 2, {"full: is a folder"});
  expect_refusal(table, {"a.csv", "-o", "no/such/folder/out.h5"}, 3, {"no/such/folder/out.h5"});
  expect_refusal(table, {"a.csv", "-o", "a.csv"}, 2, {"both source and output"});
  expect_refusal(table, {"a.csv", "-o", "/dev/full"}, 2, {"/dev/full: is not a regular file"});
}

TEST_F(DataImport, AFailedImportKeepsTheFileThatWasThere) {
  ASSERT_EQ(import({{"a.csv", "1,2\n"}}, {"a.csv"}).code, 0);
  const auto before = run_weft({"data", "show", path("out.h5")}).out;
  expect_refusal({{"a.csv", "1,2\n3\n"}}, {"a.csv"}, 2, {"line 2 has 1 fields"});
  EXPECT_EQ(run_weft({"data", "show", path("out.h5")}).out, before);
}

}  // namespace
}  // namespace weft::testing
