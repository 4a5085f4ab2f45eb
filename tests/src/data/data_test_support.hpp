// What the tests of training data share: a folder that goes away, files by bytes, and IDX files.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "src/data/data_writer.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {

using testing::message_of;

class TemporaryFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "weft-data-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  /// Names of all files in the folder.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  std::filesystem::path folder_;
};

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string bytes_of(const std::string& path) {
  std::string bytes(std::filesystem::file_size(path), '\0');
  std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

/// An IDX file of bytes.
inline std::string idx_bytes(const std::vector<std::uint32_t>& extents, const std::vector<std::uint8_t>& values) {
  std::string out = {0, 0, 8, static_cast<char>(extents.size())};
  for (const std::uint32_t e : extents)
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(e >> shift);
  out.append(values.begin(), values.end());
  return out;
}

struct TestDataset {
  std::string name;
  Tensor values;
};

/// A data file as import writes them.
inline void write_data(const std::string& path, const std::vector<TestDataset>& datasets) {
  std::vector<DatasetPlan> plans;
  for (const TestDataset& d : datasets) plans.push_back({d.name, d.values.dtype(), d.values.shape(), {}});
  DataWriter writer(path, "test", plans);
  for (std::size_t i = 0; i < datasets.size(); ++i)
    writer.append(i, {datasets[i].values.data(), datasets[i].values.bytes()});
  writer.finish();
}

/// 0, 1, 2, … in `type`, wrapping at 251.
inline Tensor counting(DType type, const Shape& shape) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < shape.elements(); ++i) values.push_back(static_cast<double>(i % 251));
  return Tensor::from<double>(shape, values).cast(type);
}

}  // namespace weft
