// weft data import, weft data show: training data made from other formats, and described.
#include <unistd.h>

#include <string>

#include "fmt/format.h"
#include "src/cli/verbs.hpp"
#include "src/data/import.hpp"
#include "src/settings/nearest.hpp"

namespace weft::cli {
namespace {

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const auto comma = std::min(text.find(',', at), text.size());
    if (comma > at) parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

// One line that rewrites itself, for people only.
ImportProgress terminal_progress() {
  if (::isatty(STDERR_FILENO) == 0) return {};
  return [shown = std::int64_t{-1}](std::int64_t done, std::int64_t total) mutable {
    const auto percent = total > 0 ? 100 * done / total : 0;
    if (percent == shown) return;
    shown = percent;
    fmt::print(stderr, "\rimporting {:3} %{}", percent, percent == 100 ? "\n" : "");
  };
}

ExitCode run_import(const Arguments& arguments) {
  Options options("data import", "Turns another format into a file of training data (HDF5).");
  options.argument("SOURCE", "IDX images (as MNIST's, .gz too)")
      .required_value("output,o", "F.h5", "the file to write; replaced if it exists")
      .value("labels", "FILE", "IDX labels; found beside the images by name when not given")
      .value("classes", "A,B,…", "names of the labels, in order")
      .flag("json", "the description as JSON")
      .example("weft data import /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz -o fashion-train.h5");
  if (!options.parse(arguments)) return ExitCode::ok;
  ImportRequest request;
  request.source = options.text("SOURCE");
  request.output = options.text("output");
  request.labels = options.text("labels");
  request.class_names = split_at_commas(options.text("classes"));
  request.progress = terminal_progress();
  const auto result = import_data(request);
  fmt::print("{}", options.has("json") ? result.description.json() + "\n" : result.description.text());
  return ExitCode::ok;
}

ExitCode run_show(const Arguments& arguments) {
  Options options("data show", "Describes a file of training data: datasets, types, shapes, ranges, classes.");
  options.argument("F.h5", "the file")
      .flag("verify", "reads every element: measures ranges and compares checksums")
      .flag("json", "as JSON")
      .example("weft data show fashion-train.h5 --verify");
  if (!options.parse(arguments)) return ExitCode::ok;
  const DataFile file(options.text("F.h5"));
  const auto description = options.has("verify") ? file.verify() : file.describe();
  fmt::print("{}", options.has("json") ? description.json() + "\n" : description.text());
  for (const auto& dataset : description.datasets)
    if (!dataset.checksum_holds.value_or(true))
      throw UserError(fmt::format("{}: dataset '{}' is damaged: its checksum does not hold; import it again",
                                  description.path, dataset.name));
  return ExitCode::ok;
}

}  // namespace

ExitCode run_data(const Arguments& arguments) {
  const auto first = arguments.empty() ? std::string() : arguments.front();
  const Arguments rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (first == "import") return run_import(rest);
  if (first == "show") return run_show(rest);
  if (first == "--help" || first == "-h") {
    fmt::print("{}",
               "Makes and describes files of training data.\n\nUsage: weft data import SOURCE -o F.h5\n"
               "       weft data show F.h5\n\nEach has its own --help.\n\nExamples:\n"
               "  weft data import train-images-idx3-ubyte.gz -o fashion-train.h5\n"
               "  weft data show fashion-train.h5\n");
    return ExitCode::ok;
  }
  throw UserError(fmt::format("data: '{}' is neither import nor show{}\n  See `weft data --help`.", first,
                              did_you_mean(first, std::vector<std::string>{"import", "show"})));
}

}  // namespace weft::cli
