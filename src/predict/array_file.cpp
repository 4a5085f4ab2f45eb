// The three kinds of array files.
#include "src/predict/array_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "graph/onnx/tensor_pb.hpp"
#include "src/data/data_file.hpp"
#include "src/data/npy_array.hpp"
#include "src/hdf5/hdf5_file.hpp"
#include "weft/error.hpp"
#include "weft/tensor.hpp"

namespace weft {
namespace {

/// Arrays that are in memory; read when they are first asked for.
class TensorFile : public ArrayFile {
 public:
  using ArrayFile::ArrayFile;
  void read_rows(std::size_t array, std::int64_t first, std::int64_t count, std::span<std::byte> out) override {
    const Tensor& values = value(array);
    const auto rows = static_cast<std::size_t>(values.shape().rank() == 0 ? 1 : values.shape()[0]);
    const std::size_t row = rows == 0 ? 0 : values.bytes() / rows;
    check_internal(out.size() == static_cast<std::size_t>(count) * row, "rows of another size are asked for");
    std::copy_n(values.data() + static_cast<std::size_t>(first) * row, out.size(), out.data());
  }

 protected:
  virtual const Tensor& value(std::size_t array) = 0;
};

class NpzFile final : public TensorFile {
 public:
  explicit NpzFile(const std::string& path) : TensorFile(path), archive_(path) {
    for (const ZipMember& member : archive_.members()) {
      try {
        ZipArchive::Stream stream(archive_, member);
        const NpyHeader header = read_npy_header(stream);
        arrays_.push_back({npy_name(member), header.dtype, Shape(header.extents)});
        members_.push_back(&member);
      } catch (UserError& e) {
        e.add_context(fmt::format("{}: array '{}'", path, member.name));
        throw;
      }
    }
    values_.resize(arrays_.size());
  }

 private:
  const Tensor& value(std::size_t array) override {
    if (!values_[array]) values_[array] = read_npy(archive_, *members_[array]);
    return *values_[array];
  }

  ZipArchive archive_;
  std::vector<const ZipMember*> members_;
  std::vector<std::optional<Tensor>> values_;
};

class TensorPbFile final : public TensorFile {
 public:
  explicit TensorPbFile(const std::string& path) : TensorFile(path) {
    auto [name, tensor] = onnx::read_tensor_pb(path);
    arrays_.push_back({name, tensor.dtype(), tensor.shape()});
    value_ = std::move(tensor);
  }

 private:
  const Tensor& value(std::size_t) override { return value_; }

  Tensor value_;
};

class Hdf5Arrays final : public ArrayFile {
 public:
  explicit Hdf5Arrays(const std::string& path) : ArrayFile(path), file_(hdf5::File::open(path)) {
    for (const std::string& name : dataset_names(file_)) {
      try {
        datasets_.push_back(file_.dataset("/" + name));
      } catch (const UserError&) {
        continue;  // not numbers: no input can be meant
      }
      arrays_.push_back({name, datasets_.back().dtype(), datasets_.back().shape()});
    }
  }
  void read_rows(std::size_t array, std::int64_t first, std::int64_t count, std::span<std::byte> out) override {
    if (!out.empty()) datasets_[array].read_rows(first, count, out);
  }

 private:
  hdf5::File file_;
  std::vector<hdf5::Dataset> datasets_;
};

}  // namespace

std::string ArrayInfo::str() const { return fmt::format("{} {}{}", name, name_of(dtype), shape.str()); }

ArrayFormat array_format(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (extension == ".npz") return ArrayFormat::npz;
  if (extension == ".h5" || extension == ".hdf5") return ArrayFormat::hdf5;
  if (extension == ".pb") return ArrayFormat::tensor;
  throw UserError(fmt::format(
      "'{}' ends in none of the kinds that are read and written here: .npz (NumPy), .h5 (HDF5), .pb (an ONNX tensor)",
      path));
}

std::unique_ptr<ArrayFile> open_arrays(const std::string& path) {
  std::unique_ptr<ArrayFile> file;
  switch (array_format(path)) {
    case ArrayFormat::npz: file = std::make_unique<NpzFile>(path); break;
    case ArrayFormat::hdf5: file = std::make_unique<Hdf5Arrays>(path); break;
    case ArrayFormat::tensor: file = std::make_unique<TensorPbFile>(path); break;
  }
  if (file->arrays().empty()) throw UserError(fmt::format("{}: it holds no arrays of numbers", path));
  return file;
}

}  // namespace weft
