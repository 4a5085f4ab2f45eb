// NumPy archives as training data.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "src/data/data_writer.hpp"
#include "src/data/import.hpp"
#include "src/data/npy_array.hpp"
#include "src/data/zip_archive.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::size_t kMaxArrays = 10'000;

std::string array_name(const ZipMember& member, const std::string& path) {
  std::string name = npy_name(member);
  const bool plain = !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
  if (!plain)
    throw UserError(
        fmt::format("{}: array '{}' cannot name a dataset: use letters, digits, '_', '-' and '.'", path, name));
  return name;
}

}  // namespace

void import_npz(const ImportRequest& request) {
  ZipArchive archive(request.source);
  std::vector<DatasetPlan> plans;
  if (archive.members().empty() || archive.members().size() > kMaxArrays)
    throw UserError(
        fmt::format("{}: has {} arrays; 1 to {} are imported", request.source, archive.members().size(), kMaxArrays));
  for (const ZipMember& member : archive.members()) {
    try {
      ZipArchive::Stream stream(archive, member);
      const NpyHeader h = read_npy_header(stream);
      if (Shape(h.extents).rank() == 0 || Shape(h.extents).elements() == 0)
        throw UserError(fmt::format("its shape {} has no samples", Shape(h.extents).str()));
      const std::string name = array_name(member, request.source);
      plans.push_back(
          {name, h.dtype, Shape(h.extents), name == "labels" ? request.class_names : std::vector<std::string>{}});
    } catch (UserError& e) {
      e.add_context(fmt::format("{}: array '{}'", request.source, member.name));
      throw;
    }
    for (std::size_t i = 0; i + 1 < plans.size(); ++i)
      if (plans[i].name == plans.back().name)
        throw UserError(fmt::format("{}: holds array '{}' twice", request.source, plans[i].name));
    if (plans.back().shape[0] != plans.front().shape[0])
      throw UserError(fmt::format(
          "{}: array '{}' has shape {} and '{}' {}: the first dimension is the samples and must "
          "be the same. Save training and test data as two files.",
          request.source, plans.front().name, plans.front().shape.str(), plans.back().name, plans.back().shape.str()));
  }
  const std::int64_t samples = plans.front().shape[0];
  DataWriter writer(request.output, source_name(request, "NumPy"), plans);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    ZipArchive::Stream stream(archive, archive.members()[i]);
    const NpyHeader h = read_npy_header(stream);
    if (h.dtype != plans[i].dtype || Shape(h.extents) != plans[i].shape)
      throw UserError(fmt::format("{}: it changed while it was imported", request.source));
    read_npy_elements(stream, h, [&](std::span<const std::byte> part) { writer.append(i, part); });
    if (request.progress)
      request.progress(samples * static_cast<std::int64_t>(i + 1) / static_cast<std::int64_t>(plans.size()), samples);
  }
  writer.finish();
}

}  // namespace weft
