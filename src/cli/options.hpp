// A verb's command line: what it takes is declared once, and parsing, help and answers to mistakes follow.
//
//     Options options("job", "Shows a job as Weft understands it.");
//     options.argument("JOB.yaml", "the job file").list("set", "KEY=VALUE", "overrides a key").flag("json", "as JSON");
//     options.example("weft job job.yaml --set batch=64");
//     if (!options.parse(arguments)) return ExitCode::ok;  // help was asked for, and is printed
//     read_job(options.text("JOB.yaml"), options.texts("set"));
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::cli {

using Arguments = std::vector<std::string>;

class Options {
 public:
  /// `verb` may have two words ("data import").
  Options(std::string verb, std::string summary);

  // Declarations. Positional arguments come in the order of their declaration.
  Options& argument(std::string name, std::string meaning);           ///< must be there
  Options& optional_argument(std::string name, std::string meaning);  ///< may be there
  Options& arguments(std::string name, std::string meaning);          ///< one or more; declared last
  Options& flag(std::string name, std::string meaning);
  /// `name` may carry a letter: "output,o". The empty `fallback` means: not given.
  Options& value(std::string name, std::string placeholder, std::string meaning, std::string fallback = "");
  Options& required_value(std::string name, std::string placeholder, std::string meaning);
  Options& list(std::string name, std::string placeholder, std::string meaning);  ///< may be repeated
  Options& example(std::string line);
  Options& note(std::string paragraph);  ///< below the options in the help

  /// Throws UserError for anything not declared, with the nearest declared option. False when --help was given: the
  /// help has been printed and the verb is done.
  [[nodiscard]] bool parse(const Arguments& arguments);

  // What was given. Asking for a name that was not declared throws InternalError.
  bool has(std::string_view name) const;                 ///< a flag or value was given, or has a fallback
  const std::string& text(std::string_view name) const;  ///< the value, the fallback, or ""
  std::vector<std::string> texts(std::string_view name) const;
  /// A value's parts, between commas.
  std::vector<std::string> names(std::string_view name) const;
  /// Throws UserError naming option and range.
  std::int64_t integer(std::string_view name, std::int64_t low, std::int64_t high) const;

  std::string help() const;

 private:
  enum class Kind : std::uint8_t { argument, optional_argument, arguments, flag, value, list };
  struct Option {
    Kind kind;
    std::string name, letter, placeholder, meaning, fallback;
    bool required = false;
    bool given = false;
    std::vector<std::string> values;
  };

  Options& declare(Kind kind, std::string name, std::string placeholder, std::string meaning, std::string fallback);
  bool is_positional(const Option& option) const;
  const Option& at(std::string_view name) const;
  void take_positional(const std::vector<std::string>& values);
  void check_required() const;
  [[noreturn]] void fail(const std::string& message) const;

  std::string verb_, summary_;
  std::vector<Option> options_;
  std::vector<std::string> examples_, notes_;
};

}  // namespace weft::cli
