// weft: finds the verb, runs it, and turns whatever it throws into a message and an exit code.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <system_error>

#include "fmt/format.h"
#include "src/cli/printable.hpp"
#include "src/cli/verbs.hpp"
#include "src/cli/waiting_threads.hpp"
#include "src/settings/nearest.hpp"
#include "weft/version.hpp"

namespace weft::cli {
namespace {

std::string general_help() {
  std::string out =
      "Weft trains neural networks on HPC clusters: a model (ONNX) and a job (YAML) become one program a rank.\n\n"
      "Usage: weft VERB [FILE] [options]\n\n";
  for (const auto& verb : verbs()) out += fmt::format("  {:10} {}\n", verb.name, verb.summary);
  return out +
         "\n`weft VERB --help` explains a verb with examples; `weft job --schema` lists every setting of a job;\n"
         "`weft --version` says which Weft this is.\n"
         "Exit codes: 0 done, 2 wrong input, 3 the system failed, 4 a fault of Weft's, 75 stopped early with a good "
         "checkpoint.\n";
}

const Verb& find_verb(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& verb : verbs()) {
    if (verb.name == name) return verb;
    names.emplace_back(verb.name);
  }
  throw UserError(
      fmt::format("there is no verb '{}'{}\n  See `weft --help` for the list.", name, did_you_mean(name, names)));
}

// Launchers number the processes that they start; no variable means that this one was started alone.
bool is_first_rank() {
  for (const char* variable : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const char* rank = std::getenv(variable)) return std::string_view(rank) == "0";
  return true;
}

/// `values` are main's: `arguments` with the program's name before them.
ExitCode run(const Arguments& arguments, char** values) {
  const auto first = arguments.empty() ? "--help" : arguments.front();
  if (first == "--help" || first == "-h" || (first == "help" && arguments.size() == 1)) {
    if (is_first_rank()) fmt::print("{}", general_help());
    return ExitCode::ok;
  }
  if (first == "--version") {
    if (is_first_rank()) fmt::print("weft {}\n", version());
    return ExitCode::ok;
  }
  if (first == "help") return find_verb(arguments[1]).run({"--help"});
  if (first.starts_with("-"))
    throw UserError(fmt::format("a verb comes first, not the option '{}'\n  See `weft --help` for the verbs.", first));
  const auto& verb = find_verb(first);
  if (verb.where == RunsOn::first_rank && !is_first_rank()) return ExitCode::ok;
  if (verb.computes == Computes::yes) choose_how_threads_wait(values);
  return verb.run({arguments.begin() + 1, arguments.end()});
}

// Buffered results that cannot be written are lost results: a full disk must not end in success.
void flush_results() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw SystemError("cannot write to standard output");
}

}  // namespace
}  // namespace weft::cli

int main(int count, char** values) {
  using weft::ExitCode;
  auto code = ExitCode::ok;
  std::string message;
  try {
    spdlog::set_default_logger(spdlog::stderr_color_mt("weft"));
    spdlog::set_pattern("%H:%M:%S %^%l%$ %v");
    code = weft::cli::run({values + 1, values + count}, values);
    weft::cli::flush_results();
  } catch (const weft::Error& e) {
    code = e.exit_code();
    message = e.what();
  } catch (const std::system_error& e) {  // the standard library's and fmt's files
    code = ExitCode::system;
    message = e.what();
  } catch (const std::bad_alloc&) {
    code = ExitCode::system;
    message = "out of memory";
  } catch (const std::exception& e) {
    const weft::InternalError wrapped(e.what());
    code = wrapped.exit_code();
    message = wrapped.what();
  }
  // Messages quote what files hold.
  if (!message.empty()) std::fprintf(stderr, "weft: %s\n", weft::cli::printable(message).c_str());
  return static_cast<int>(code);
}
