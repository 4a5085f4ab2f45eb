// Which importer a source needs.
#include "src/data/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "src/data/input_stream.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

ImportKind detect(const ImportRequest& request) {
  std::array<std::byte, 4> magic{};
  InputStream stream(request.source);
  const std::size_t size = stream.read(magic);
  if (size == 4 && magic[0] == std::byte{0} && magic[1] == std::byte{0}) return ImportKind::idx;
  throw UserError(fmt::format("{}: of no known kind. Weft imports IDX files.", request.source));
}

}  // namespace

std::string source_name(const ImportRequest& request, const std::string& format) {
  std::filesystem::path path = std::filesystem::path(request.source).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return fmt::format("{} ({})", path.filename().string(), format);
}

ImportResult import_data(const ImportRequest& request) {
  ImportResult result;
  result.kind = request.kind == ImportKind::automatic ? detect(request) : request.kind;
  switch (result.kind) {
    case ImportKind::idx: import_idx(request); break;
    case ImportKind::automatic: throw InternalError("an import of no kind");
  }
  result.description = DataFile(request.output).describe();
  return result;
}

}  // namespace weft
