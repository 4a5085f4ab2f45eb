// The three kinds of array files, written.
#include "src/predict/array_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>

#include "graph/onnx/tensor_pb.hpp"
#include "src/data/data_writer.hpp"
#include "src/data/npz_writer.hpp"
#include "weft/error.hpp"
#include "weft/tensor.hpp"

namespace weft {
namespace {

class NpzArrays final : public ArrayWriter {
 public:
  NpzArrays(FileSystem& files, const std::string& path, const std::vector<NpzArray>& arrays)
      : writer_(files, path, arrays) {}
  void append(std::size_t array, std::span<const std::byte> elements) override { writer_.append(array, elements); }
  void finish() override { writer_.finish(); }

 private:
  NpzWriter writer_;
};

class Hdf5Datasets final : public ArrayWriter {
 public:
  Hdf5Datasets(const std::string& path, std::vector<DatasetPlan> plans)
      : writer_(path, "weft predict", std::move(plans)) {}
  void append(std::size_t array, std::span<const std::byte> elements) override { writer_.append(array, elements); }
  void finish() override { writer_.finish(); }

 private:
  DataWriter writer_;
};

class OneTensor final : public ArrayWriter {
 public:
  OneTensor(std::string path, const ArrayInfo& array)
      : path_(std::move(path)), name_(array.name), value_(array.dtype, array.shape) {}
  void append(std::size_t, std::span<const std::byte> elements) override {
    std::copy(elements.begin(), elements.end(), value_.mutable_data() + filled_);
    filled_ += elements.size();
  }
  void finish() override { onnx::write_tensor_pb(path_, name_, value_); }

 private:
  std::string path_, name_;
  Tensor value_;
  std::size_t filled_ = 0;
};

std::unique_ptr<ArrayWriter> make_hdf5(const std::string& path, const std::vector<ArrayInfo>& arrays) {
  std::vector<DatasetPlan> plans;
  for (const ArrayInfo& a : arrays) {
    if (a.shape.rank() == 0 || a.shape.elements() == 0)
      throw UserError(
          fmt::format("{}: {} has no samples, which HDF5 data wants; write .npz or .pb instead", path, a.str()));
    // A leading slash would be the root group, which is where the dataset goes anyway.
    const auto start = a.name.find_first_not_of('/');
    plans.push_back({start == std::string::npos ? "output" : a.name.substr(start), a.dtype, a.shape, {}});
  }
  return std::make_unique<Hdf5Datasets>(path, std::move(plans));
}

std::unique_ptr<ArrayWriter> make_tensor(const std::string& path, const std::vector<ArrayInfo>& arrays) {
  if (arrays.size() != 1) {
    std::vector<std::string> names;
    for (const ArrayInfo& a : arrays) names.push_back(a.name);
    throw UserError(
        fmt::format("{}: a .pb file holds one tensor, and these are {}: {}. Name one file for each, as in "
                    "--output {}=F.pb, or write .npz or .h5",
                    path, arrays.size(), fmt::join(names, ", "), names.front()));
  }
  const auto bytes = static_cast<double>(arrays[0].shape.elements()) * static_cast<double>(size_of(arrays[0].dtype));
  if (bytes >= static_cast<double>(std::numeric_limits<std::int32_t>::max()))
    throw UserError(
        fmt::format("{}: {} is larger than the 2 GiB that a .pb file holds; write .npz or .h5", path, arrays[0].str()));
  if (std::filesystem::is_directory(path)) throw UserError(fmt::format("'{}' is a folder; give a file name", path));
  return std::make_unique<OneTensor>(path, arrays[0]);
}

}  // namespace

std::unique_ptr<ArrayWriter> make_array_writer(FileSystem& files, const std::string& path,
                                               const std::vector<ArrayInfo>& arrays) {
  switch (array_format(path)) {
    case ArrayFormat::hdf5: return make_hdf5(path, arrays);
    case ArrayFormat::tensor: return make_tensor(path, arrays);
    case ArrayFormat::npz: break;
  }
  std::vector<NpzArray> members;
  for (const ArrayInfo& a : arrays) members.push_back({a.name, a.dtype, a.shape});
  return std::make_unique<NpzArrays>(files, path, members);
}

}  // namespace weft
