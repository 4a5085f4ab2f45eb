// YAML from strangers: bounded, and refused with a place, never a crash or a hang.
#include "src/settings/yaml.hpp"

#include <gmock/gmock.h>

#include "weft/error.hpp"

namespace weft {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& text) {
  try {
    parse_yaml(text, "f.yaml");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(Yaml, KnowsWhereEveryValueStood) {
  const auto document = parse_yaml("a: 1\nb:\n  - x\n  - {c: \"y\"}\n", "f.yaml");
  ASSERT_EQ(document.entries.size(), 2U);
  EXPECT_EQ(document.find("a")->text, "1");
  const auto& inner = document.find("b")->items.at(1);
  EXPECT_EQ(inner.line, 4);
  EXPECT_EQ(inner.entries.at(0).column, 6);
  EXPECT_EQ(inner.find("c")->text, "y");
  EXPECT_TRUE(inner.find("c")->quoted);
  EXPECT_EQ(inner.find("d"), nullptr);
}

TEST(Yaml, AnEmptyFileIsNull) {
  for (const auto* text : {"", "\n\n", "# only a comment\n", "---\n", "~"})
    EXPECT_TRUE(parse_yaml(text, "f.yaml").is_null()) << text;
}

TEST(Yaml, RefusesRepeatedKeysAtTheSecond) {
  EXPECT_THAT(error_of("a: 1\nb: 2\na: 3\n"), HasSubstr("f.yaml:3:1: the key 'a' is there twice"));
  EXPECT_THAT(error_of("x: {a: 1, a: 1}"), HasSubstr("f.yaml:1:11: the key 'a' is there twice"));
}

TEST(Yaml, RefusesAliasesSoThatNoneCanMultiply) {
  EXPECT_THAT(error_of("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"), HasSubstr("f.yaml:2:8: aliases"));
  EXPECT_THAT(error_of("a: &a {b: 1}\nc: {<<: *a}\n"), HasSubstr("aliases"));
}

TEST(Yaml, RefusesDepthInEveryForm) {
  EXPECT_THAT(error_of(repeated("[", 200)), HasSubstr("nested deeper than 16"));
  EXPECT_THAT(error_of(repeated("{a: ", 200)), HasSubstr("nested deeper than 16"));
  EXPECT_THAT(error_of(repeated("- ", 200) + "x"), HasSubstr("nested deeper than 16"));
  EXPECT_NE(error_of(repeated("[", 200'000)), "");
  EXPECT_NE(error_of(repeated("- ", 100'000)), "");
  EXPECT_NE(error_of(repeated("? ", 100'000)), "");
}

TEST(Yaml, RefusesWhatIsTooLargeOrTooMany) {
  EXPECT_THAT(error_of(std::string(300'000, 'a')), HasSubstr("at most 262144"));
  EXPECT_THAT(error_of("a: " + std::string(5000, 'x')), HasSubstr("text of 5000 bytes; at most 4096"));
  EXPECT_THAT(error_of("[" + repeated("1,", 30'000) + "]"), HasSubstr("more than 20000 values"));
}

TEST(Yaml, RefusesTagsSecondDocumentsAndControlCharacters) {
  EXPECT_THAT(error_of("a: !!python/object x"), HasSubstr("tags are not supported"));
  EXPECT_THAT(error_of("a: !local {}"), HasSubstr("tags are not supported"));
  EXPECT_THAT(error_of("a: 1\n---\nb: 2\n"), HasSubstr("a second document"));
  EXPECT_THAT(error_of("a: \"x\\ny\""), HasSubstr("control character"));
  EXPECT_THAT(error_of("a: |\n  x\n  y\n"), HasSubstr("control character"));
  EXPECT_THAT(error_of("a: \"x\\0y\""), HasSubstr("control character"));
  EXPECT_THAT(error_of(std::string("a: x\0y", 6)), HasSubstr("not a text file"));
}

TEST(Yaml, RefusesKeysThatAreNotWords) {
  EXPECT_THAT(error_of("{[a]: 1}"), HasSubstr("a key must be a word"));
  EXPECT_THAT(error_of("? {a: 1}\n: 2"), HasSubstr("a key must be a word"));
  EXPECT_THAT(error_of("~: 1"), HasSubstr("a key must be a word"));
}

TEST(Yaml, BrokenTextIsAUserErrorWithItsPlace) {
  for (const auto* text :
       {"a: [1, 2", "a: 'x", "a: b: c", "{a: 1", "\t- a", "a: \"\\q\"", "%YAML 9.9\n---\na", "a: @x", "}", "]", "&",
        "*", "!", "? ", ": ", "- - -\n -", "a:\n b\n  c: d", "%TAG ! x\n%TAG ! y\n--- a"})
    try {
      parse_yaml(text, "f.yaml");
    } catch (const UserError& e) {
      EXPECT_THAT(e.what(), HasSubstr("f.yaml:")) << text;
    }
}

TEST(Yaml, EveryCutOfAFileReadsOrIsRefused) {
  const std::string text =
      "a: {b: [1, 'two', \"th\\u0072ee\"], c: ~}\nd:\n  - e: |\n      f\n  - ? g\n    : h\n# i\n...\n";
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    for (const char* extra : {"", "\"", "[", "\xff", "\xef\xbb\xbf", ":", "\n- "}) try {
        parse_yaml(text.substr(0, cut) + extra, "f.yaml");
      } catch (const UserError& e) {
        EXPECT_THAT(e.what(), HasSubstr("f.yaml:"));
      }
}

}  // namespace
}  // namespace weft
