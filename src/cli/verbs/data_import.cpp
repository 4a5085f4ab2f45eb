// weft data import: IDX, NumPy archives, tables, folders of images and text, turned into training data.
#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string>

#include "fmt/format.h"
#include "src/cli/terminal_progress.hpp"
#include "src/cli/verbs.hpp"
#include "src/data/import.hpp"
#include "src/files/output_path.hpp"
#include "src/settings/nearest.hpp"

namespace weft::cli {
namespace {

struct KindName {
  const char* name;  ///< as --kind takes it
  ImportKind kind;
  const char* described;
};
constexpr std::array kKinds = {KindName{"auto", ImportKind::automatic, ""},
                               KindName{"idx", ImportKind::idx, "IDX images"},
                               KindName{"npz", ImportKind::npz, "a NumPy archive"},
                               KindName{"csv", ImportKind::csv, "a table"},
                               KindName{"images", ImportKind::images, "a folder of images"},
                               KindName{"text", ImportKind::text, "text"}};

// Options that only one kind has a use for.
struct KindOption {
  const char* option;
  ImportKind kind;
};
constexpr std::array kKindOptions = {
    KindOption{"labels", ImportKind::idx},  KindOption{"target", ImportKind::csv},
    KindOption{"header", ImportKind::csv},  KindOption{"delimiter", ImportKind::csv},
    KindOption{"size", ImportKind::images}, KindOption{"grey", ImportKind::images},
    KindOption{"length", ImportKind::text}, KindOption{"vocabulary", ImportKind::text},
};

const KindName& named(ImportKind kind) {
  return *std::find_if(kKinds.begin(), kKinds.end(), [&](const KindName& k) { return k.kind == kind; });
}

ImportKind parse_kind(const std::string& text) {
  std::vector<std::string> names;
  for (const auto& kind : kKinds) {
    if (text == kind.name) return kind.kind;
    names.emplace_back(kind.name);
  }
  throw UserError(fmt::format("data import: there is no kind '{}'{}\n  --kind takes {}.", text,
                              did_you_mean(text, names), fmt::join(names, ", ")));
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; !text.empty() && at <= text.size();) {
    const auto comma = std::min(text.find(',', at), text.size());
    if (comma == at)
      throw UserError(fmt::format("data import: --classes '{}' has an empty name; write it as A,B,C", text));
    parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

// "224" or "240x320" (height by width).
void parse_size(const std::string& text, ImportRequest& request) {
  const auto part = [&](std::size_t from, std::size_t to) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data() + from, text.data() + to, value);
    if (error != std::errc{} || end != text.data() + to || value < 1)
      throw UserError(
          fmt::format("data import: --size takes pixels, as in 224 or 240x320 (height by width), not '{}'", text));
    return value;
  };
  const auto by = text.find('x');
  request.height = part(0, std::min(by, text.size()));
  request.width = by == std::string::npos ? request.height : part(by + 1, text.size());
}

char parse_delimiter(const std::string& text) {
  if (text == "tab" || text == "\\t") return '\t';
  if (text.size() == 1 && text != "\"" && text != "\n" && text != "\r") return text[0];
  throw UserError(fmt::format("data import: --delimiter takes one character, or tab, not '{}'", text));
}

bool parse_header(const std::string& text) {
  if (text == "yes" || text == "no") return text == "yes";
  throw UserError(fmt::format("data import: --header takes yes or no, not '{}'", text));
}

ImportRequest request_of(const Options& options) {
  ImportRequest request;
  request.source = options.text("SOURCE");
  request.output = output_path(options.text("output"));
  request.kind = parse_kind(options.text("kind"));
  request.class_names = split_at_commas(options.text("classes"));
  request.labels = options.text("labels");
  request.target = options.text("target");
  if (options.has("delimiter")) request.delimiter = parse_delimiter(options.text("delimiter"));
  if (options.has("header")) request.header = parse_header(options.text("header"));
  if (options.has("size")) parse_size(options.text("size"), request);
  request.grey = options.has("grey");
  request.vocabulary = options.text("vocabulary");
  if (options.has("length")) request.sequence_length = options.integer("length", 1, 16'777'216);
  return request;
}

// Options that would do nothing are mistakes.
void check_options(const Options& options, const ImportRequest& request) {
  for (const auto& [option, kind] : kKindOptions)
    if (options.has(option) && kind != request.kind)
      throw UserError(fmt::format("data import: --{} is for {}, and {} is {}; leave it out, or say --kind {}", option,
                                  named(kind).described, request.source, named(request.kind).described,
                                  named(kind).name));
  if (!request.class_names.empty() && (request.kind == ImportKind::images || request.kind == ImportKind::text))
    throw UserError(fmt::format("data import: --classes names integer labels, and {} is {}; leave it out",
                                request.source, named(request.kind).described));
  std::error_code none;
  if (std::filesystem::equivalent(request.source, request.output, none))
    throw UserError(fmt::format("data import: {} is both source and output; give another name to -o", request.source));
}

Options declared() {
  Options options("data import", "Turns another format into a file of training data (HDF5).");
  options.argument("SOURCE", "a file, or a folder of images; what it is, is found from its content and name")
      .required_value("output,o", "F.h5", "the file to write; replaced if it exists")
      .value("kind", "KIND", "idx, npz, csv, images or text", "auto")
      .value("classes", "A,B,…", "names of integer labels, in order")
      .value("labels", "FILE", "idx: the labels; found beside the images by name when not given")
      .value("target", "COLUMN",
             "csv: the label column, by name or number (from 0, -1: the last), or none; "
             "the last when not given")
      .value("header", "yes|no", "csv: whether line 1 holds names; it does where no field of it is a number")
      .value("delimiter", "C", "csv: one character, or tab; ',' when not given, tab for .tsv")
      .value("size", "HxW",
             "images: resized to so many pixels, as in 224 or 240x320; needed unless all are of one size")
      .flag("grey", "images: one channel instead of three")
      .value("vocabulary", "FILE", "text: one token a line, numbered from 0; bytes when not given")
      .value("length", "N", "text: tokens in a sample; 128 when not given")
      .flag("json", "the description as JSON")
      .note(
          "What is written:\n"
          "  idx, images   `images` u8 [samples, channels, height, width] and `labels`\n"
          "  npz           each array under its own name; the first dimension is the samples\n"
          "  csv           `features` f32 [samples, columns] and `labels`: classes where the target column holds\n"
          "                names or whole numbers, else f32\n"
          "  text          `tokens` [samples, N], and `target`, the same one token further on\n"
          "gzip is read through. A failed import leaves nothing behind.")
      .example("weft data import /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz -o fashion-train.h5")
      .example("weft data import arrays.npz -o train.h5")
      .example("weft data import houses.csv -o houses.h5 --target price")
      .example("weft data import photos/ -o photos.h5 --size 224          # photos/CLASS/*.jpg")
      .example("weft data import book.txt -o book.h5 --length 256 --vocabulary tokens.txt");
  return options;
}

}  // namespace

ExitCode run_data_import(const Arguments& arguments) {
  auto options = declared();
  if (!options.parse(arguments)) return ExitCode::ok;
  auto request = request_of(options);
  request.kind = import_kind(request);
  check_options(options, request);
  request.progress = terminal_progress("importing");
  const auto result = import_data(request);
  fmt::print("{}", options.has("json") ? result.description.json() + "\n" : result.description.text());
  return ExitCode::ok;
}

}  // namespace weft::cli
