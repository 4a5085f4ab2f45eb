// Importing NumPy archives, tables and text, whole and damaged.
#include <gmock/gmock.h>
#include <zlib.h>

#include "src/data/import.hpp"
#include "tests/src/data/data_test_support.hpp"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string little(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(i < 8 ? value >> (8 * i) : 0);
  return out;
}

std::string npy(const std::string& descr, bool fortran, const std::string& shape, const std::string& elements) {
  std::string header =
      "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }";
  header += '\n';
  return std::string("\x93NUMPY\x01\x00", 8) + little(header.size(), 2) + header + elements;
}

std::string deflated(const std::string& bytes) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(bytes.size() + 100, '\0');
  std::string in = bytes;
  z.next_in = reinterpret_cast<Bytef*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

struct Member {
  std::string name, bytes;
};

std::string zip(const std::vector<Member>& members, bool compress) {
  std::string out;
  std::string directory;
  for (const Member& m : members) {
    const std::string data = compress ? deflated(m.bytes) : m.bytes;
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(m.bytes.data()), m.bytes.size());
    const std::string common = little(20, 2) + little(0, 2) + little(compress ? 8 : 0, 2) + little(0, 4) +
                               little(crc, 4) + little(data.size(), 4) + little(m.bytes.size(), 4) +
                               little(m.name.size(), 2) + little(0, 2);
    directory += "PK\x01\x02" + little(20, 2) + common + little(0, 10) + little(out.size(), 4) + m.name;
    out += "PK\x03\x04" + common + m.name + data;
  }
  const std::size_t start = out.size();
  return out + directory + "PK\x05\x06" + little(0, 4) + little(members.size(), 2) + little(members.size(), 2) +
         little(directory.size(), 4) + little(start, 4) + little(0, 2);
}

class ImportTables : public TemporaryFolder {
 protected:
  ImportRequest request(const std::string& name, const std::string& content) {
    write_bytes(path(name), content);
    ImportRequest r;
    r.source = path(name);
    r.output = path("out.h5");
    return r;
  }
  Tensor imported(const std::string& dataset) const { return hdf5::File::open(path("out.h5")).dataset(dataset).read(); }
};

std::string sample_npz(bool compress) {
  std::string floats;
  for (const float f : {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}) floats.append(reinterpret_cast<const char*>(&f), 4);
  return zip({{"x.npy", npy("<f4", false, "(2, 3)", floats)},
              {"labels.npy", npy(">i2", false, "(2,)", std::string("\x00\x01\xff\xfe", 4))},
              {"f.npy", npy("|u1", true, "(2, 3)", std::string("\x01\x02\x03\x04\x05\x06", 6))}},
             compress);
}

TEST_F(ImportTables, npz_arrays_come_in_row_major_order_and_the_machines_bytes) {
  for (const bool compress : {false, true}) {
    EXPECT_EQ(import_data(request("a.npz", sample_npz(compress))).kind, ImportKind::npz);
    EXPECT_THAT(imported("/x").values<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
    EXPECT_THAT(imported("/labels").values<std::int16_t>(), ElementsAre(1, -2));
    EXPECT_THAT(imported("/f").values<std::uint8_t>(), ElementsAre(1, 3, 5, 2, 4, 6));
  }
}

TEST_F(ImportTables, an_npz_file_cut_anywhere_or_with_a_flipped_bit_never_gives_wrong_arrays) {
  for (const bool compress : {false, true}) {
    const std::string whole = sample_npz(compress);
    for (std::size_t size = 4; size < whole.size(); size += 2)
      EXPECT_THROW(import_data(request("a.npz", whole.substr(0, size))), Error) << size;
    EXPECT_THAT(files(), ElementsAre("a.npz"));
    for (std::size_t bit = 32; bit < whole.size() * 8; bit += 23) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      ImportRequest r = request("a.npz", flipped);
      r.kind = ImportKind::npz;
      try {
        import_data(r);
        EXPECT_EQ(imported("/x").shape(), (Shape{2, 3}));  // a name or an ignored field was hit
      } catch (const UserError&) {
      }
    }
    std::filesystem::remove(path("out.h5"));
  }
}

TEST_F(ImportTables, npz_arrays_with_different_numbers_of_samples_are_named) {
  const std::string content =
      zip({{"a.npy", npy("|u1", false, "(2,)", "ab")}, {"b.npy", npy("|u1", false, "(1,)", "c")}}, false);
  EXPECT_THAT(message_of<UserError>([&] { import_data(request("a.npz", content)); }), HasSubstr("'b' [1]"));
}

TEST_F(ImportTables, npz_arrays_of_objects_are_refused) {
  const std::string content = zip({{"a.npy", npy("|O", false, "(2,)", "ab")}}, false);
  EXPECT_THAT(message_of<UserError>([&] { import_data(request("a.npz", content)); }), HasSubstr("numbers and bool"));
}

TEST_F(ImportTables, csv_names_become_classes_in_alphabetical_order) {
  const DataDescription d =
      import_data(request("a.csv", "w, h,kind\r\n1,2.5,\"owl, grey\"\n-3,4e1,cat\n\n5,6,cat")).description;
  EXPECT_THAT(imported("/features").values<float>(), ElementsAre(1, 2.5F, -3, 40, 5, 6));
  EXPECT_THAT(imported("/labels").values<std::int64_t>(), ElementsAre(1, 0, 0));
  EXPECT_THAT(d.datasets.at(1).classes, ElementsAre("cat", "owl, grey"));
}

TEST_F(ImportTables, csv_integer_targets_are_classes_and_reals_are_values) {
  import_data(request("a.csv", "1,2,0\n3,4,2\n"));
  EXPECT_THAT(imported("/labels").values<std::int64_t>(), ElementsAre(0, 2));
  import_data(request("a.csv", "1,2,0.5\n3,4,2\n"));
  EXPECT_THAT(imported("/labels").values<float>(), ElementsAre(0.5F, 2));
}

TEST_F(ImportTables, csv_target_delimiter_and_header_can_be_chosen) {
  ImportRequest r = request("a.csv", "y;x\n1;7\n0;8\n");
  r.delimiter = ';';
  r.target = "y";
  import_data(r);
  EXPECT_THAT(imported("/features").values<float>(), ElementsAre(7, 8));
  r.target = "z";
  EXPECT_THAT(message_of<UserError>([&] { import_data(r); }), HasSubstr("y, x"));
}

TEST_F(ImportTables, csv_errors_name_line_and_column) {
  EXPECT_THAT(message_of<UserError>([&] { import_data(request("a.csv", "a,b\n1,2\nx,3\n")); }),
              HasSubstr("line 3, column 'a': 'x'"));
  EXPECT_THAT(message_of<UserError>([&] { import_data(request("a.csv", "1,2\n1,2,3\n")); }), HasSubstr("line 2 has 3"));
  EXPECT_THROW(import_data(request("a.csv", "1,\"2\n3,4")), UserError);
  EXPECT_THROW(import_data(request("a.csv", "nan,2\n3,4")), UserError);
  EXPECT_THROW(import_data(request("a.csv", "a,b\n")), UserError);
  EXPECT_THROW(import_data(request("a.csv", "")), UserError);
}

TEST_F(ImportTables, text_as_bytes_has_targets_one_further_on) {
  ImportRequest r = request("a.txt", "abcdefgh");
  r.sequence_length = 3;
  import_data(r);
  EXPECT_EQ(imported("/tokens").shape(), (Shape{2, 3}));
  EXPECT_THAT(imported("/tokens").values<std::uint8_t>(), ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  EXPECT_THAT(imported("/target").values<std::uint8_t>(), ElementsAre('b', 'c', 'd', 'e', 'f', 'g'));
}

TEST_F(ImportTables, text_by_vocabulary_takes_the_longest_tokens) {
  write_bytes(path("vocabulary"), "a\nab\n\\n\nc\n");
  ImportRequest r = request("a.txt", "abac\nab");
  r.vocabulary = path("vocabulary");
  r.sequence_length = 4;
  import_data(r);
  EXPECT_THAT(imported("/tokens").values<std::uint8_t>(), ElementsAre(1, 0, 3, 2));
  EXPECT_THAT(imported("/target").values<std::uint8_t>(), ElementsAre(0, 3, 2, 1));
}

TEST_F(ImportTables, text_outside_the_vocabulary_is_named_or_unknown) {
  write_bytes(path("vocabulary"), "a\n");
  ImportRequest r = request("a.txt", "aaxa");
  r.vocabulary = path("vocabulary");
  r.sequence_length = 1;
  EXPECT_THAT(message_of<UserError>([&] { import_data(r); }), HasSubstr("byte 2 (0x78)"));
  write_bytes(path("vocabulary"), "a\n<unk>\n");
  import_data(r);
  EXPECT_THAT(imported("/tokens").values<std::uint8_t>(), ElementsAre(0, 0, 1));
}

TEST_F(ImportTables, a_text_shorter_than_a_sequence_is_refused) {
  EXPECT_THAT(message_of<UserError>([&] { import_data(request("a.txt", "abc")); }), HasSubstr("needs 129"));
}

TEST_F(ImportTables, files_of_no_known_kind_are_told_what_is_known) {
  EXPECT_THAT(message_of<UserError>([&] { import_data(request("a.xyz", "hello")); }), HasSubstr("Weft imports IDX"));
}

}  // namespace
}  // namespace weft
