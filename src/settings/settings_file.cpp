// Settings files from disk.
#include "src/settings/settings_file.hpp"

#include <cerrno>
#include <fstream>

#include "fmt/format.h"
#include "weft/error.hpp"

namespace weft {

std::string read_settings_text(const std::filesystem::path& file, std::string_view what) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error))
    throw UserError(fmt::format("{}: a folder; expected a {} (YAML)", file.string(), what));
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw SystemError::from_errno(fmt::format("cannot read {}", file.string()), errno ? errno : EIO);
  // One byte more than allowed is enough for the parser to refuse it.
  std::string text(kMaxYamlBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (stream.bad()) throw SystemError::from_errno(fmt::format("cannot read {}", file.string()), errno ? errno : EIO);
  return text;
}

YamlNode parse_settings(std::string_view text, std::string_view source, std::string_view schema_hint) {
  auto document = parse_yaml(text, source);
  if (document.is_null()) throw UserError(fmt::format("{}: empty; {}", source, schema_hint));
  if (document.kind != YamlNode::Kind::map)
    fail_at(document, "expected keys and values (`name: …`), found " + document.described());
  return document;
}

}  // namespace weft
