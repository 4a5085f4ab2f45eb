// Text: bytes, or the longest matching tokens of a vocabulary, cut into sequences and their continuations.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <unordered_map>

#include "src/data/data_writer.hpp"
#include "src/data/import.hpp"
#include "src/data/input_stream.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::size_t kMaxTokenBytes = 4096;
constexpr std::size_t kMaxTokens = 16'000'000;
constexpr std::int64_t kMaxSequence = 16'777'216;

// Tokens by text; token number = line number from 0. "\n", "\t", "\r" and "\\" are escapes.
struct Vocabulary {
  std::unordered_map<std::string, std::int32_t> tokens;
  std::size_t longest = 0;
  std::int64_t size = 256;  // bytes, where there is no vocabulary file
  std::int32_t unknown = -1;
};

std::string unescaped(const std::string& line) {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char next = line[i] == '\\' && i + 1 < line.size() ? line[i + 1] : '\0';
    const char* at = next == '\0' ? nullptr : std::strchr("n\nt\tr\r\\\\", next);
    if (at != nullptr) {
      out += next == 'n' ? '\n' : next == 't' ? '\t' : next == 'r' ? '\r' : '\\';
      ++i;
    } else {
      out += line[i];
    }
  }
  return out;
}

void add_token(const std::string& path, std::string line, Vocabulary& v) {
  if (!line.empty() && line.back() == '\r') line.pop_back();
  const std::string token = unescaped(line);
  const auto number = static_cast<std::int32_t>(v.size++);
  if (token.empty() || token.size() > kMaxTokenBytes || v.tokens.size() >= kMaxTokens)
    throw UserError(fmt::format("{}: line {}: a token has 1 to {} bytes, and a vocabulary at most {} tokens", path,
                                v.size, kMaxTokenBytes, kMaxTokens));
  if (!v.tokens.emplace(token, number).second)
    throw UserError(fmt::format("{}: line {}: token '{}' was there before", path, v.size, line));
  v.longest = std::max(v.longest, token.size());
  if (token == "<unk>" || token == "[UNK]") v.unknown = number;
}

Vocabulary read_vocabulary(const std::string& path) {
  Vocabulary v;
  if (path.empty()) return v;
  v.size = 0;
  InputStream stream(path);
  std::vector<std::byte> block(kReadBlockBytes);
  std::string line;
  for (std::size_t n = stream.read(block); n > 0; n = stream.read(block))
    for (std::size_t i = 0; i < n; ++i) {
      const auto c = static_cast<char>(block[i]);
      if (c == '\n')
        add_token(path, std::exchange(line, {}), v);
      else if (line.size() <= 2 * kMaxTokenBytes)
        line += c;
    }
  if (!line.empty()) add_token(path, line, v);
  if (v.size == 0) throw UserError(fmt::format("{}: the vocabulary is empty", path));
  return v;
}

// The token at the front of `text`, and its length in bytes.
std::int32_t match(const Vocabulary& v, std::string_view text, std::int64_t offset, const std::string& path,
                   std::size_t& length) {
  for (length = std::min(v.longest, text.size()); length > 0; --length) {
    const auto found = v.tokens.find(std::string(text.substr(0, length)));
    if (found != v.tokens.end()) return found->second;
  }
  if (v.unknown < 0)
    throw UserError(
        fmt::format("{}: byte {} (0x{:02x}) starts no token of the vocabulary; add a token for it, or "
                    "'<unk>' for all such",
                    path, offset, static_cast<unsigned char>(text[0])));
  length = 1;
  return v.unknown;
}

using Sink = std::function<void(std::int32_t token)>;

// Hands every token of the text to `sink`; returns how many.
std::int64_t tokenize(InputStream& stream, const Vocabulary& v, const Sink& sink) {
  std::vector<std::byte> block(kReadBlockBytes);
  std::string pending;
  std::int64_t count = 0;
  std::int64_t offset = 0;
  for (bool end = false; !end;) {
    const std::size_t n = stream.read(block);
    end = n < block.size();
    if (v.tokens.empty()) {
      for (std::size_t i = 0; i < n; ++i, ++count) sink(std::to_integer<std::int32_t>(block[i]));
      continue;
    }
    pending.append(reinterpret_cast<const char*>(block.data()), n);
    std::size_t at = 0;
    // A token may go on in the next block: the last bytes wait for it.
    while (at < pending.size() && (end || pending.size() - at >= v.longest)) {
      std::size_t length = 0;
      const std::string_view rest = std::string_view(pending).substr(at);
      sink(match(v, rest, offset + static_cast<std::int64_t>(at), stream.path(), length));
      at += length;
      ++count;
    }
    pending.erase(0, at);
    offset += static_cast<std::int64_t>(at);
  }
  return count;
}

DType token_type(std::int64_t vocabulary) {
  return vocabulary <= 256 ? DType::u8 : vocabulary <= 65536 ? DType::u16 : DType::i32;
}

void append_token(DataWriter& writer, std::size_t dataset, std::int32_t token, DType type) {
  writer.append(dataset, std::as_bytes(std::span(&token, 1)).first(size_of(type)));  // little-endian
}

}  // namespace

void import_text(const ImportRequest& request) {
  const std::int64_t length = request.sequence_length;
  if (length < 1 || length > kMaxSequence)
    throw UserError(fmt::format("the sequence length is {}: it must be 1 to {}", length, kMaxSequence));
  const Vocabulary vocabulary = read_vocabulary(request.vocabulary);
  InputStream stream(request.source);
  const std::int64_t tokens = tokenize(stream, vocabulary, [](std::int32_t) {});
  const std::int64_t samples = (tokens - 1) / length;
  if (samples < 1)
    throw UserError(fmt::format("{}: has {} tokens; one sequence of {} and its continuation needs {}", request.source,
                                tokens, length, length + 1));
  const DType type = token_type(vocabulary.size);
  const Shape shape{samples, length};
  DataWriter writer(request.output, source_name(request, request.vocabulary.empty() ? "bytes" : "text"),
                    {{"tokens", type, shape, {}}, {"target", type, shape, {}}});
  stream.rewind();
  std::int64_t position = 0;
  tokenize(stream, vocabulary, [&](std::int32_t token) {
    if (position < samples * length) append_token(writer, 0, token, type);
    if (position >= 1 && position <= samples * length) append_token(writer, 1, token, type);
    if (++position % 1'000'000 == 0 || position == tokens)
      if (request.progress) request.progress(position, tokens);
  });
  writer.finish();
}

}  // namespace weft
