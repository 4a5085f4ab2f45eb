// IDX files: two zero bytes, a type code, the rank, big-endian 32-bit extents, then big-endian elements.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "src/data/data_writer.hpp"
#include "src/data/import.hpp"
#include "src/data/input_stream.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

constexpr int kMaxIdxRank = 8;
constexpr std::int64_t kMaxDeflateRatio = 1032;

DType idx_type(int code, const std::string& path) {
  switch (code) {
    case 0x08: return DType::u8;
    case 0x09: return DType::i8;
    case 0x0B: return DType::i16;
    case 0x0C: return DType::i32;
    case 0x0D: return DType::f32;
    case 0x0E: return DType::f64;
    default:
      throw UserError(fmt::format(
          "{}: element type 0x{:02x} is none of IDX's (0x08 u8, 0x09 i8, 0x0b i16, 0x0c i32, 0x0d f32, 0x0e f64)", path,
          code));
  }
}

struct IdxFile {
  InputStream stream;
  DType dtype = DType::u8;
  Dims extents;
};

Shape checked_shape(const Dims& extents, const std::string& path) try { return Shape(extents); } catch (UserError& e) {
  e.add_context(path + ": its header claims");
  throw;
}

IdxFile open_idx(const std::string& path) {
  IdxFile file{InputStream(path), DType::u8, {}};
  std::array<std::byte, 4> magic{};
  file.stream.read_exactly(magic, "the IDX header");
  const int rank = std::to_integer<int>(magic[3]);
  if (magic[0] != std::byte{0} || magic[1] != std::byte{0} || rank < 1 || rank > kMaxIdxRank)
    throw UserError(
        fmt::format("{}: is not an IDX file: it starts with {:02x} {:02x} {:02x} {:02x}, not with 00 00, a "
                    "type and a rank of 1 to {}",
                    path, std::to_integer<int>(magic[0]), std::to_integer<int>(magic[1]),
                    std::to_integer<int>(magic[2]), rank, kMaxIdxRank));
  file.dtype = idx_type(std::to_integer<int>(magic[2]), path);
  for (int d = 0; d < rank; ++d) {
    std::array<std::byte, 4> extent{};
    file.stream.read_exactly(extent, "the IDX header");
    std::int64_t value = 0;
    for (const std::byte b : extent) value = value * 256 + std::to_integer<std::int64_t>(b);
    file.extents.push_back(value);
  }
  const Shape shape = checked_shape(file.extents, path);
  if (shape.elements() == 0) throw UserError(fmt::format("{}: is empty: its shape is {}", path, shape.str()));
  const auto claimed = static_cast<unsigned __int128>(shape.elements()) * size_of(file.dtype);
  const std::int64_t ratio = file.stream.compressed() ? kMaxDeflateRatio : 1;
  if (claimed > static_cast<unsigned __int128>(file.stream.file_bytes()) * static_cast<unsigned>(ratio))
    throw UserError(fmt::format("{}: claims shape {} of {}, more than a file of {} bytes can hold; it is truncated",
                                path, shape.str(), name_of(file.dtype), file.stream.file_bytes()));
  return file;
}

// The elements from here to the end, in the machine's byte order.
void copy_elements(IdxFile& file, DataWriter& writer, std::size_t dataset, const ImportProgress& progress) {
  const std::size_t width = size_of(file.dtype);
  const std::int64_t samples = file.extents[0];
  std::size_t left = static_cast<std::size_t>(Shape(file.extents).elements()) * width;
  const std::size_t total = left;
  std::vector<std::byte> block(std::min(left, kReadBlockBytes));
  while (left > 0) {
    const std::span part(block.data(), std::min(left, block.size()));
    file.stream.read_exactly(part, "its elements");
    for (std::size_t i = 0; width > 1 && i < part.size(); i += width)
      std::reverse(part.begin() + static_cast<std::ptrdiff_t>(i),
                   part.begin() + static_cast<std::ptrdiff_t>(i + width));
    writer.append(dataset, part);
    left -= part.size();
    if (progress)
      progress(static_cast<std::int64_t>(total - left) /
                   std::max<std::int64_t>(static_cast<std::int64_t>(total) / samples, 1),
               samples);
  }
  file.stream.expect_end();
}

// "train-images-idx3-ubyte.gz" -> "train-labels-idx1-ubyte.gz", compressed or not, beside it.
std::string find_labels(const std::string& images) {
  const std::filesystem::path path(images);
  std::string name = path.filename().string();
  const auto at = name.find("images");
  if (at == std::string::npos)
    throw UserError(
        fmt::format("{}: has no 'images' in its name, so its labels' file cannot be found; give it", images));
  name.replace(at, 6, "labels");
  if (const auto idx = name.find("idx3"); idx != std::string::npos) name.replace(idx, 4, "idx1");
  const std::string bare = name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name;
  for (const std::string& candidate : {name, bare, bare + ".gz"})
    if (std::filesystem::exists(path.parent_path() / candidate)) return (path.parent_path() / candidate).string();
  throw UserError(fmt::format("{}: the labels' file '{}' is not beside it; give its name", images, name));
}

}  // namespace

void import_idx(const ImportRequest& request) {
  IdxFile images = open_idx(request.source);
  if (images.extents.size() < 2)
    throw UserError(
        fmt::format("{}: holds labels (shape {}); give the images' file", request.source, to_string(images.extents)));
  IdxFile labels = open_idx(request.labels.empty() ? find_labels(request.source) : request.labels);
  if (labels.extents.size() != 1)
    throw UserError(fmt::format("{}: labels must have rank 1, and these have shape {}", labels.stream.path(),
                                to_string(labels.extents)));
  if (labels.extents[0] != images.extents[0])
    throw UserError(fmt::format("{} holds {} samples and {} {}: they do not belong together", request.source,
                                images.extents[0], labels.stream.path(), labels.extents[0]));
  Dims shape = images.extents;
  if (shape.size() == 3) shape.insert(shape.begin() + 1, 1);
  DataWriter writer(request.output, source_name(request, "IDX"),
                    {{"images", images.dtype, Shape(shape), {}},
                     {"labels", labels.dtype, Shape(labels.extents), request.class_names}});
  copy_elements(images, writer, 0, request.progress);
  copy_elements(labels, writer, 1, nullptr);
  writer.finish();
}

}  // namespace weft
