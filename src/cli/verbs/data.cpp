// weft data: import makes training data from other formats (data_import.cpp), show describes it.
#include <string>

#include "fmt/format.h"
#include "src/cli/terminal_progress.hpp"
#include "src/cli/verbs.hpp"
#include "src/data/data_file.hpp"
#include "src/settings/nearest.hpp"

namespace weft::cli {
namespace {

ExitCode run_show(const Arguments& arguments) {
  Options options("data show",
                  "Describes a file of training data: types, extents, ranges, mean and spread, classes, checksums.");
  options.argument("F.h5", "the file")
      .flag("quick", "reads no elements: only what the file says of itself; damage stays unseen")
      .flag("json", "as JSON")
      .note("Every element is read, so that damage shows: exits with 2 when a checksum does not hold.")
      .example("weft data show fashion-train.h5")
      .example("weft data show fashion-train.h5 --quick --json");
  if (!options.parse(arguments)) return ExitCode::ok;
  const DataFile file(options.text("F.h5"));
  const auto description = options.has("quick") ? file.describe() : file.verify(terminal_progress("reading"));
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
  if (first == "import") return run_data_import(rest);
  if (first == "show") return run_show(rest);
  if (first == "--help" || first == "-h") {
    fmt::print("{}",
               "Makes and describes files of training data.\n\nUsage: weft data import SOURCE -o F.h5\n"
               "       weft data show F.h5\n\nEach has its own --help.\n\nExamples:\n"
               "  weft data import train-images-idx3-ubyte.gz -o fashion-train.h5\n"
               "  weft data import measurements.csv -o table.h5 --target price\n"
               "  weft data show fashion-train.h5\n");
    return ExitCode::ok;
  }
  throw UserError(fmt::format("data: '{}' is neither import nor show{}\n  See `weft data --help`.", first,
                              did_you_mean(first, std::vector<std::string>{"import", "show"})));
}

}  // namespace weft::cli
