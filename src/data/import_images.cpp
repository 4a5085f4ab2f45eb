// A folder of images by class: the folders' names, sorted, are the classes; the files, sorted, the samples.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "src/data/data_writer.hpp"
#include "src/data/image.hpp"
#include "src/data/import.hpp"
#include "src/data/input_stream.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 30;

struct Sample {
  std::string path;
  std::int64_t label = 0;
};

bool is_image_name(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;
  std::filesystem::directory_iterator it(folder, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error))
    if (!it->path().filename().string().starts_with('.')) entries.push_back(it->path());
  if (error) throw SystemError(fmt::format("{}: cannot list: {}", folder.string(), error.message()));
  std::sort(entries.begin(), entries.end());
  return entries;
}

void list_samples(const std::string& source, std::vector<std::string>& classes, std::vector<Sample>& samples) {
  for (const auto& folder : sorted_entries(source)) {
    if (!std::filesystem::is_directory(folder)) continue;
    const auto before = samples.size();
    for (const auto& file : sorted_entries(folder))
      if (is_image_name(file)) samples.push_back({file.string(), static_cast<std::int64_t>(classes.size())});
    if (samples.size() == before)
      throw UserError(
          fmt::format("{}: class '{}' has no images (.jpg, .jpeg, .png)", source, folder.filename().string()));
    classes.push_back(folder.filename().string());
  }
  if (samples.empty())
    throw UserError(
        fmt::format("{}: has no folders of images; one folder a class is wanted, {}/CLASS/IMAGE.jpg", source, source));
}

Image decode(const std::string& path, bool grey) {
  InputStream stream(path);
  if (stream.file_bytes() > kMaxFileBytes) throw UserError(fmt::format("{}: is larger than 1 GiB", path));
  std::vector<std::byte> bytes(static_cast<std::size_t>(stream.file_bytes()));
  bytes.resize(stream.read(bytes));
  try {
    const bool png = bytes.size() >= 4 && bytes[0] == std::byte{0x89} && bytes[1] == std::byte{'P'};
    return png ? decode_png(bytes, grey) : decode_jpeg(bytes, grey);
  } catch (UserError& e) {
    e.add_context(path);
    throw;
  }
}

// [H, W, C] to [C, H, W].
std::vector<std::byte> planes(const Image& image) {
  std::vector<std::byte> out(image.pixels.size());
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t plane = image.pixels.size() / channels;
  for (std::size_t c = 0; c < channels; ++c)
    for (std::size_t i = 0; i < plane; ++i) out[c * plane + i] = std::byte{image.pixels[i * channels + c]};
  return out;
}

}  // namespace

void import_images(const ImportRequest& request) {
  if ((request.height == 0) != (request.width == 0) || request.height < 0 || request.width < 0 ||
      request.height > kMaxImageExtent || request.width > kMaxImageExtent)
    throw UserError(fmt::format("the size {} x {} is none: give height and width of 1 to {}, or neither",
                                request.height, request.width, kMaxImageExtent));
  std::vector<std::string> classes;
  std::vector<Sample> samples;
  list_samples(request.source, classes, samples);
  const Image first = decode(samples.front().path, request.grey);
  const bool resized = request.height > 0;
  const std::int64_t height = resized ? request.height : first.height;
  const std::int64_t width = resized ? request.width : first.width;
  const auto count = static_cast<std::int64_t>(samples.size());
  DataWriter writer(request.output, source_name(request, "images"),
                    {{"images", DType::u8, Shape{count, first.channels, height, width}, {}},
                     {"labels", DType::i64, Shape{count}, classes}});
  for (std::int64_t i = 0; i < count; ++i) {
    const Sample& sample = samples[static_cast<std::size_t>(i)];
    Image image = decode(sample.path, request.grey);
    if (!resized && (image.height != height || image.width != width))
      throw UserError(fmt::format("{}: is {} x {} pixels, and {} is {} x {}: give a size to resize all to", sample.path,
                                  image.width, image.height, samples.front().path, width, height));
    writer.append(0, planes(resize(image, height, width)));
    writer.append(1, std::as_bytes(std::span(&sample.label, 1)));
    if (request.progress) request.progress(i + 1, count);
  }
  writer.finish();
}

}  // namespace weft
