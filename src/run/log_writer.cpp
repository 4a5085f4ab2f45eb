// Formatting of log lines, and cutting a log back to the step that a job resumes from.
#include "src/run/log_writer.hpp"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace weft {
namespace {

using Json = nlohmann::ordered_json;

void put_number(Json& line, Json& nonfinite, const std::string& name, double value) {
  if (std::isfinite(value)) {
    line[name] = value;
    return;
  }
  line[name] = nullptr;
  nonfinite[name] = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

/// What is to be known of a line that is there already.
struct FormerLine {
  std::int64_t step = 0;
  bool eval = false;
};

/// Nothing when the line is not one that a LogWriter finished.
std::optional<FormerLine> former_line(std::string_view line) {
  const Json parsed = Json::parse(line, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  const auto step = parsed.find("step"), eval = parsed.find("eval");
  if (step == parsed.end() || !step->is_number_integer()) return std::nullopt;
  return FormerLine{step->get<std::int64_t>(), eval != parsed.end() && *eval == true};
}

/// Reads a file line by line, in blocks.
class LineReader {
 public:
  explicit LineReader(const File& file) : file_(file), size_(file.size()) {}

  /// The next line without its newline; nothing at the end, or when no newline follows.
  std::optional<std::string_view> next() {
    for (;;) {
      const std::size_t newline = text_.find('\n', begin_);
      if (newline != std::string::npos) {
        const std::string_view line = std::string_view(text_).substr(begin_, newline - begin_);
        begin_ = newline + 1;
        return line;
      }
      if (read_ == size_) return std::nullopt;
      refill();
    }
  }
  /// Of the next line, from the start of the file.
  std::int64_t offset() const { return read_ - static_cast<std::int64_t>(text_.size() - begin_); }

 private:
  static constexpr std::int64_t kBlock = 1 << 20;

  void refill() {
    text_.erase(0, begin_);
    begin_ = 0;
    const std::size_t kept = text_.size();
    const std::int64_t count = std::min(kBlock, size_ - read_);
    text_.resize(kept + static_cast<std::size_t>(count));
    file_.read_at(std::as_writable_bytes(std::span(text_).subspan(kept)), read_);
    read_ += count;
  }

  const File& file_;
  std::int64_t size_;
  std::int64_t read_ = 0;
  std::string text_;
  std::size_t begin_ = 0;
};

}  // namespace

std::string to_json(const LogRecord& record) {
  Json line, nonfinite;
  line["step"] = record.step;
  put_number(line, nonfinite, "epoch", record.epoch);
  if (record.eval) line["eval"] = true;
  if (record.skipped) line["skipped"] = true;
  const std::pair<const char*, const std::optional<double>&> fields[] = {
      {"loss", record.loss},       {"lr", record.lr},           {"samples_per_s", record.samples_per_s},
      {"step_ms", record.step_ms}, {"comm_ms", record.comm_ms}, {"exposed_comm_ms", record.exposed_comm_ms}};
  for (const auto& [name, value] : fields)
    if (value) put_number(line, nonfinite, name, *value);
  for (const auto& [name, value] : record.metrics) put_number(line, nonfinite, name, value);
  if (!nonfinite.empty()) line["nonfinite"] = nonfinite;
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

LogWriter::LogWriter(FileSystem& files, const std::filesystem::path& path, std::int64_t resumed_step)
    : file_(files.open(path, resumed_step > 0 && files.exists(path) ? OpenMode::write : OpenMode::create)) {
  LineReader reader(*file_);
  while (const auto text = reader.next()) {
    const auto line = former_line(*text);
    if (!line || line->step > resumed_step) break;
    if (line->eval) last_evaluated_ = line->step;
    end_ = reader.offset();
  }
  file_->truncate(end_);
}

void LogWriter::write(const LogRecord& record) {
  const std::string line = to_json(record) + "\n";
  append_whole(*file_, std::as_bytes(std::span(line)), end_);
  end_ += static_cast<std::int64_t>(line.size());
  if (record.eval) last_evaluated_ = record.step;
}

}  // namespace weft
