// The stream of batches: order, sharing out, tails, seeking, conversion, and errors.
#include "src/data/batch_reader.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/src/data/data_test_support.hpp"
#include "weft/mesh.hpp"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kSamples = 53;

class Reader : public TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    write_data(path("d.h5"), {{"images", counting(DType::u8, Shape{kSamples, 1, 4, 4})},
                              {"labels", counting(DType::u8, Shape{kSamples})}});
  }

  ReaderOptions options() const {
    ReaderOptions o;
    o.path = path("d.h5");
    o.inputs = {{"input", "images"}};
    o.wanted = {{"input", {DType::f32, Shape{8, 1, 4, 4}}}, {"labels", {DType::i64, Shape{8}}}};
    o.targets = {"labels"};
    o.batch = 8;
    o.seed = 5;
    return o;
  }
};

std::vector<std::vector<std::int64_t>> ids_of(const ReaderOptions& options, std::int64_t batches) {
  BatchReader reader(options);
  std::vector<std::vector<std::int64_t>> ids;
  for (std::int64_t i = 0; i < batches; ++i) ids.push_back(reader.next().sample_ids);
  return ids;
}

TEST(RankShares, passes_are_cut_into_ranks) {
  EXPECT_THAT(rank_shares({5, 5}, 3, 0), ElementsAre(Share{0, 2}, Share{5, 2}));
  EXPECT_THAT(rank_shares({5, 5}, 3, 1), ElementsAre(Share{2, 2}, Share{7, 2}));
  EXPECT_THAT(rank_shares({5, 5}, 3, 2), ElementsAre(Share{4, 1}, Share{9, 1}));
}

TEST(RankShares, cover_every_sample_once_whatever_the_counts) {
  for (std::int64_t count = 0; count < 20; ++count)
    for (int micro = 1; micro < 5; ++micro)
      for (int ranks = 1; ranks < 9; ++ranks) {
        std::vector<int> seen(static_cast<std::size_t>(count), 0);
        for (int rank = 0; rank < ranks; ++rank)
          for (const Share& s : rank_shares(split_evenly(count, micro), ranks, rank))
            for (std::int64_t i = s.offset; i < s.offset + s.count; ++i) ++seen.at(static_cast<std::size_t>(i));
        EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
      }
}

TEST(SampleOrder, is_a_permutation_that_changes_with_epoch_and_seed) {
  const auto order = [](std::int64_t seed, std::int64_t epoch) {
    SampleOrder o(1000, true, seed);
    o.start_epoch(epoch);
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < 1000; ++i) ids.push_back(o[i]);
    return ids;
  };
  auto sorted = order(1, 0);
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  EXPECT_EQ(order(1, 0), order(1, 0));
  EXPECT_NE(order(1, 0), order(1, 1));
  EXPECT_NE(order(1, 0), order(2, 0));
}

TEST(SampleOrder, every_order_of_four_is_about_as_frequent) {
  std::map<std::vector<std::int64_t>, int> counts;
  for (std::int64_t epoch = 0; epoch < 24'000; ++epoch) {
    SampleOrder o(4, true, 3);
    o.start_epoch(epoch);
    ++counts[{o[0], o[1], o[2], o[3]}];
  }
  EXPECT_EQ(counts.size(), 24U);
  double chi_squared = 0;
  for (const auto& [order, n] : counts) chi_squared += (n - 1000.0) * (n - 1000.0) / 1000.0;
  EXPECT_LT(chi_squared, 60);  // 23 degrees of freedom: 1 in 30,000 beyond this
}

TEST(SampleOrder, starts_with_published_numbers_of_splitmix64) {
  // The first outputs of SplitMix64 seeded with 1234567.
  EXPECT_EQ(splitmix(1234567, 0), 6457827717110365317U);
  EXPECT_EQ(splitmix(1234567, 1), 3203168211198807973U);
  EXPECT_EQ(splitmix(1234567, 2), 9817491932198370423U);
}

TEST_F(Reader, an_epoch_holds_every_sample_once_and_the_last_batch_is_smaller) {
  BatchReader reader(options());
  ASSERT_EQ(reader.samples(), kSamples);
  ASSERT_EQ(reader.batches_per_epoch(), 7);
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<std::int64_t> seen;
    for (std::int64_t b = 0; b < 7; ++b) {
      const Batch& batch = reader.next();
      EXPECT_EQ(batch.epoch, epoch);
      EXPECT_EQ(batch.index, b);
      EXPECT_EQ(batch.global_count, b == 6 ? 5 : 8);
      EXPECT_EQ(batch.feeds.at("input").shape(), (Shape{batch.local_count, 1, 4, 4}));
      seen.insert(batch.sample_ids.begin(), batch.sample_ids.end());
    }
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), kSamples);
  }
}

TEST_F(Reader, without_shuffling_batches_follow_the_file) {
  ReaderOptions o = options();
  o.shuffle = false;
  BatchReader reader(o);
  for (std::int64_t epoch = 0; epoch < 2; ++epoch)
    for (std::int64_t b = 0; b < 7; ++b) EXPECT_EQ(reader.next().sample_ids.front(), b * 8);
}

TEST_F(Reader, the_global_order_is_the_same_on_any_number_of_ranks) {
  const auto alone = ids_of(options(), 14);
  for (const int ranks : {2, 3, 4, 8}) {
    std::vector<std::vector<std::int64_t>> together(14);
    for (int rank = 0; rank < ranks; ++rank) {
      ReaderOptions o = options();
      o.rank = rank;
      o.ranks = ranks;
      const auto mine = ids_of(o, 14);
      for (std::size_t b = 0; b < 14; ++b) together[b].insert(together[b].end(), mine[b].begin(), mine[b].end());
    }
    EXPECT_EQ(together, alone) << ranks;
  }
}

TEST_F(Reader, passes_share_the_same_batch_out_differently) {
  const auto alone = ids_of(options(), 7);
  for (const int micro : {2, 3, 8}) {
    std::vector<std::vector<std::int64_t>> parts;
    for (int rank = 0; rank < 3; ++rank) {
      ReaderOptions o = options();
      o.rank = rank;
      o.ranks = 3;
      for (std::int64_t count = 1; count <= o.batch; ++count) o.passes[count] = split_evenly(count, micro);
      BatchReader reader(o);
      for (std::size_t b = 0; b < 7; ++b) {
        const Batch& batch = reader.next();
        std::vector<std::int64_t> expected;
        for (const Share& s : rank_shares(split_evenly(batch.global_count, micro), 3, rank))
          expected.insert(expected.end(), alone[b].begin() + s.offset, alone[b].begin() + s.offset + s.count);
        EXPECT_EQ(batch.sample_ids, expected);
      }
    }
  }
}

TEST_F(Reader, seeking_gives_what_reading_on_would_have_given) {
  const auto all = ids_of(options(), 21);
  BatchReader reader(options());
  for (const std::int64_t position : {0, 3, 6, 7, 13, 20, 1}) {
    reader.seek(position / 7, position % 7);
    const Batch& batch = reader.next();
    EXPECT_EQ(batch.sample_ids, all[static_cast<std::size_t>(position)]);
    EXPECT_EQ(batch.epoch, position / 7);
  }
  reader.seek(0, 7);  // the end of an epoch is the start of the next
  EXPECT_EQ(reader.next().epoch, 1);
}

TEST_F(Reader, a_place_outside_the_data_cannot_be_sought) {
  BatchReader reader(options());
  EXPECT_THROW(reader.seek(0, 8), UserError);
  EXPECT_THROW(reader.seek(-1, 0), UserError);
}

TEST_F(Reader, images_are_scaled_and_labels_converted) {
  BatchReader reader(options());
  for (int b = 0; b < 7; ++b) {
    const Batch& batch = reader.next();
    for (std::size_t i = 0; i < batch.sample_ids.size(); ++i) {
      const std::int64_t id = batch.sample_ids[i];
      EXPECT_EQ(batch.feeds.at("labels").values<std::int64_t>()[i], id);
      for (std::size_t k = 0; k < 16; ++k)
        EXPECT_EQ(batch.feeds.at("input").values<float>()[i * 16 + k],
                  static_cast<float>((static_cast<std::size_t>(id) * 16 + k) % 251) / 255.0F);
    }
  }
}

TEST_F(Reader, memory_and_page_cache_give_the_same_batches) {
  ReaderOptions in_memory = options();
  ReaderOptions from_file = options();
  from_file.keep_in_memory = 0;
  BatchReader a(in_memory);
  BatchReader b(from_file);
  for (int i = 0; i < 14; ++i) {
    const Batch& x = a.next();
    const Batch& y = b.next();
    EXPECT_EQ(x.sample_ids, y.sample_ids);
    EXPECT_TRUE(x.feeds.at("input").identical(y.feeds.at("input")));
    EXPECT_TRUE(x.feeds.at("labels").identical(y.feeds.at("labels")));
  }
}

TEST_F(Reader, buffers_are_used_again) {
  BatchReader reader(options());
  std::set<const std::byte*> buffers;
  for (int i = 0; i < 60; ++i) buffers.insert(reader.next().feeds.at("input").data());
  EXPECT_LE(buffers.size(), 8U);  // prefetch + 1 slots, each for whole and last batches
}

TEST_F(Reader, a_rank_without_samples_gets_an_empty_batch) {
  ReaderOptions o = options();
  o.batch = 2;
  o.ranks = 4;
  o.rank = 3;
  BatchReader reader(o);
  const Batch& batch = reader.next();
  EXPECT_EQ(batch.global_count, 2);
  EXPECT_EQ(batch.local_count, 0);
  EXPECT_EQ(batch.feeds.at("input").shape(), (Shape{0, 1, 4, 4}));
}

TEST_F(Reader, a_batch_larger_than_the_data_is_the_data) {
  ReaderOptions o = options();
  o.batch = 1000;
  BatchReader reader(o);
  EXPECT_EQ(reader.batches_per_epoch(), 1);
  EXPECT_EQ(reader.next().local_count, kSamples);
  EXPECT_EQ(reader.next().epoch, 1);
}

TEST_F(Reader, a_label_beyond_the_classes_is_named_with_its_sample) {
  ReaderOptions o = options();
  o.shuffle = false;
  o.classes = {{"labels", 10}};
  BatchReader reader(o);
  reader.next();
  const auto message = message_of<UserError>([&] { reader.next(); });
  EXPECT_THAT(message, HasSubstr("'labels', sample 10: value 10"));
  EXPECT_THAT(message, HasSubstr("0 to 9"));
}

TEST_F(Reader, shapes_that_do_not_fit_are_both_named) {
  ReaderOptions o = options();
  o.wanted["input"].shape = Shape{8, 1, 5, 5};
  const auto message = message_of<UserError>([&] { BatchReader{o}; });
  EXPECT_THAT(message, HasSubstr("[N, 1, 4, 4]"));
  EXPECT_THAT(message, HasSubstr("[N, 1, 5, 5]"));
}

TEST_F(Reader, settings_of_images_are_refused_where_there_are_none) {
  ReaderOptions o = options();
  o.wanted = {{"input", {DType::f32, Shape{8}}}};
  o.inputs = {{"input", "labels"}};
  o.targets = {};
  BatchReader{o};
  const std::vector<std::pair<std::string, void (*)(DataSpec&)>> settings = {
      {"data.crop", [](DataSpec& d) { d.crop = 3; }},
      {"data.flip", [](DataSpec& d) { d.flip = true; }},
      {"data.mean", [](DataSpec& d) { d.mean = {1}; }},
      {"data.std", [](DataSpec& d) { d.std = {2}; }}};
  for (const auto& [key, set] : settings) {
    o.augmentation = {};
    set(o.augmentation);
    EXPECT_THAT(message_of<UserError>([&] { BatchReader{o}; }), HasSubstr(key + ": is for images"));
  }
}

TEST_F(Reader, a_model_may_want_an_image_as_a_vector) {
  ReaderOptions o = options();
  o.wanted["input"].shape = Shape{8, 16};
  BatchReader reader(o);
  EXPECT_EQ(reader.next().feeds.at("input").shape(), (Shape{8, 16}));
}

TEST_F(Reader, a_missing_dataset_is_named_beside_those_that_are_there) {
  ReaderOptions o = options();
  o.inputs = {{"input", "pictures"}};
  const auto message = message_of<UserError>([&] { BatchReader{o}; });
  EXPECT_THAT(message, HasSubstr("'pictures'; it has images, labels"));
}

TEST_F(Reader, an_input_that_the_model_lacks_is_named) {
  ReaderOptions o = options();
  o.inputs = {{"inptu", "images"}};
  EXPECT_THAT(message_of<UserError>([&] { BatchReader{o}; }), HasSubstr("'inptu'"));
}

TEST_F(Reader, a_flipped_bit_in_the_elements_is_found_while_they_are_loaded) {
  std::string bytes = bytes_of(path("d.h5"));
  const auto offset = static_cast<std::size_t>(*hdf5::File::open(path("d.h5")).dataset("/images").raw_offset());
  bytes[offset + 100] = static_cast<char>(bytes[offset + 100] ^ 4);
  write_bytes(path("d.h5"), bytes);
  EXPECT_THAT(message_of<UserError>([&] { BatchReader{options()}; }), HasSubstr("'images' is damaged"));
}

TEST_F(Reader, a_file_cut_while_it_is_read_is_an_error_of_the_system) {
  ReaderOptions o = options();
  o.keep_in_memory = 0;
  BatchReader reader(o);
  reader.next();
  std::filesystem::resize_file(path("d.h5"), 4500);
  const auto message = message_of<SystemError>([&] {
    for (int i = 0; i < 20; ++i) reader.next();
  });
  EXPECT_THAT(message, HasSubstr(path("d.h5")));
  EXPECT_THAT(message, HasSubstr("sample"));
  EXPECT_THROW(reader.next(), SystemError);  // and again, not a hang
}

}  // namespace
}  // namespace weft
