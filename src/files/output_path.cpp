// A result must not cost its user another file.
#include "src/files/output_path.hpp"

#include <fmt/format.h>
#include "weft/error.hpp"

namespace weft {

namespace fs = std::filesystem;

fs::path output_path(const std::string& path, const std::vector<std::string>& sources) {
  std::error_code ignored;
  const bool linked = fs::is_symlink(path, ignored);
  const fs::path target = linked ? fs::weakly_canonical(path, ignored) : fs::path(path);
  const fs::file_status status = fs::status(target, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw UserError(
        fmt::format("{}: {}; name a file to write", path,
                    fs::is_directory(status) ? "is a folder" : "is not a regular file but a device, pipe or socket"));
  for (const std::string& source : sources)
    if (fs::equivalent(target, source, ignored))
      throw UserError(fmt::format("{}: is what the result is made from, and would be lost: name another file", path));
  return target;
}

}  // namespace weft
