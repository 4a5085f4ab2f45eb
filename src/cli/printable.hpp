// Text that may quote a file, made fit for a terminal.
#pragma once

#include <string>

namespace weft::cli {

/// Control characters, which could steer a terminal, become '?'; line ends and tabs stay.
inline std::string printable(std::string text) {
  for (char& c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) c = '?';
  return text;
}

}  // namespace weft::cli
