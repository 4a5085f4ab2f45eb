// Which importer a source needs.
#include "src/data/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "src/data/input_stream.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

ImportKind detect(const ImportRequest& request) {
  const std::filesystem::path path(request.source);
  if (std::filesystem::is_directory(path)) return ImportKind::images;
  std::array<std::byte, 4> magic{};
  InputStream stream(request.source);
  const std::size_t size = stream.read(magic);
  std::string extension = (path.extension() == ".gz" ? path.stem() : path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (size == 4 && magic[0] == std::byte{'P'} && magic[1] == std::byte{'K'}) return ImportKind::npz;
  if (size == 4 && magic[0] == std::byte{0} && magic[1] == std::byte{0}) return ImportKind::idx;
  if (extension == ".csv" || extension == ".tsv") return ImportKind::csv;
  if (extension == ".txt" || !request.vocabulary.empty()) return ImportKind::text;
  throw UserError(
      fmt::format("{}: of no known kind. Weft imports IDX files, .npz archives, .csv and .tsv tables, "
                  "folders with one folder of images a class, and .txt; say which with --kind.",
                  request.source));
}

}  // namespace

std::string source_name(const ImportRequest& request, const std::string& format) {
  std::filesystem::path path = std::filesystem::path(request.source).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return fmt::format("{} ({})", path.filename().string(), format);
}

ImportKind import_kind(const ImportRequest& request) {
  return request.kind == ImportKind::automatic ? detect(request) : request.kind;
}

ImportResult import_data(const ImportRequest& request) {
  ImportResult result;
  result.kind = import_kind(request);
  switch (result.kind) {
    case ImportKind::idx: import_idx(request); break;
    case ImportKind::npz: import_npz(request); break;
    case ImportKind::csv: import_csv(request); break;
    case ImportKind::images: import_images(request); break;
    case ImportKind::text: import_text(request); break;
    case ImportKind::automatic: throw InternalError("an import of no kind");
  }
  result.description = DataFile(request.output).describe();
  return result;
}

}  // namespace weft
