// The verbs of the command line: one file each under verbs/, all of them in the table of verbs.cpp.
#pragma once

#include <span>
#include <string_view>

#include "src/cli/options.hpp"
#include "weft/error.hpp"

namespace weft::cli {

enum class RunsOn : std::uint8_t {
  first_rank,  ///< under mpirun or srun the other ranks have nothing to do, and leave with success
  all_ranks    ///< the verb sets up its communicator; only rank 0 prints
};

enum class Computes : bool { no, yes };  ///< whether kernels run

struct Verb {
  std::string_view name;
  std::string_view summary;  ///< one line, for `weft --help`
  RunsOn where;
  Computes computes;
  ExitCode (*run)(const Arguments& arguments);  ///< what follows the verb; throws weft::Error
};

/// To add a verb: a file verbs/NAME.cpp with its function, declared here, and a line in the table.
std::span<const Verb> verbs();

ExitCode run_data(const Arguments& arguments);
ExitCode run_data_import(const Arguments& arguments);  // the second word of `data`
ExitCode run_export(const Arguments& arguments);
ExitCode run_inspect(const Arguments& arguments);
ExitCode run_eval(const Arguments& arguments);
ExitCode run_predict(const Arguments& arguments);
ExitCode run_compile(const Arguments& arguments);
ExitCode run_job(const Arguments& arguments);
ExitCode run_calibrate(const Arguments& arguments);
ExitCode run_plan(const Arguments& arguments);
ExitCode run_submit(const Arguments& arguments);
ExitCode run_model(const Arguments& arguments);
ExitCode run_train(const Arguments& arguments);
ExitCode run_verify(const Arguments& arguments);

}  // namespace weft::cli
