// Declared options on top of Boost.Program_options, which splits the command line; messages and help are ours.
#include "src/cli/options.hpp"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>

#include "fmt/format.h"
#include "src/settings/nearest.hpp"
#include "weft/error.hpp"

namespace weft::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kPositional = " positional";  // no user can type this name

// No guessing: an abbreviation that works today breaks when an option is added.
constexpr int kStyle = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;

}  // namespace

Options::Options(std::string verb, std::string summary) : verb_(std::move(verb)), summary_(std::move(summary)) {
  flag("help,h", "this text");
}

Options& Options::declare(Kind kind, std::string name, std::string placeholder, std::string meaning,
                          std::string fallback) {
  Option option{kind,  std::move(name), "", std::move(placeholder), std::move(meaning), std::move(fallback),
                false, false,           {}};
  if (const auto comma = option.name.find(','); comma != std::string::npos) {
    option.letter = option.name.substr(comma + 1);
    option.name.resize(comma);
  }
  options_.push_back(std::move(option));
  return *this;
}

Options& Options::argument(std::string name, std::string meaning) {
  return declare(Kind::argument, std::move(name), "", std::move(meaning), "");
}
Options& Options::optional_argument(std::string name, std::string meaning) {
  return declare(Kind::optional_argument, std::move(name), "", std::move(meaning), "");
}
Options& Options::arguments(std::string name, std::string meaning) {
  return declare(Kind::arguments, std::move(name), "", std::move(meaning), "");
}
Options& Options::flag(std::string name, std::string meaning) {
  return declare(Kind::flag, std::move(name), "", std::move(meaning), "");
}
Options& Options::value(std::string name, std::string placeholder, std::string meaning, std::string fallback) {
  return declare(Kind::value, std::move(name), std::move(placeholder), std::move(meaning), std::move(fallback));
}
Options& Options::required_value(std::string name, std::string placeholder, std::string meaning) {
  declare(Kind::value, std::move(name), std::move(placeholder), std::move(meaning), "");
  options_.back().required = true;
  return *this;
}
Options& Options::list(std::string name, std::string placeholder, std::string meaning) {
  return declare(Kind::list, std::move(name), std::move(placeholder), std::move(meaning), "");
}
Options& Options::example(std::string line) {
  examples_.push_back(std::move(line));
  return *this;
}
Options& Options::note(std::string paragraph) {
  notes_.push_back(std::move(paragraph));
  return *this;
}

bool Options::is_positional(const Option& option) const {
  return option.kind == Kind::argument || option.kind == Kind::optional_argument || option.kind == Kind::arguments;
}

void Options::fail(const std::string& message) const {
  throw UserError(fmt::format("{}: {}\n  See `weft {} --help`.", verb_, message, verb_));
}

bool Options::parse(const Arguments& arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end() ||
      std::find(arguments.begin(), arguments.end(), "-h") != arguments.end()) {
    fmt::print("{}", help());
    return false;
  }
  po::options_description declared;
  declared.add_options()(kPositional, po::value<std::string>());
  for (const auto& option : options_) {
    if (is_positional(option)) continue;
    const auto name = option.letter.empty() ? option.name : option.name + "," + option.letter;
    if (option.kind == Kind::flag)
      declared.add_options()(name.c_str(), "");
    else
      declared.add_options()(name.c_str(), po::value<std::string>());
  }
  po::positional_options_description positional;
  positional.add(kPositional, -1);
  try {
    const auto parsed = po::command_line_parser(arguments).options(declared).positional(positional).style(kStyle).run();
    std::vector<std::string> loose;
    for (const auto& item : parsed.options) {
      if (item.string_key == kPositional) {
        loose.insert(loose.end(), item.value.begin(), item.value.end());
        continue;
      }
      const auto option =
          std::find_if(options_.begin(), options_.end(), [&](const Option& o) { return o.name == item.string_key; });
      check_internal(option != options_.end(), "Options: parsed an option that was not declared");
      if (option->given && option->kind != Kind::list) fail(fmt::format("--{} is there twice", option->name));
      option->given = true;
      option->values.insert(option->values.end(), item.value.begin(), item.value.end());
    }
    take_positional(loose);
  } catch (const po::unknown_option& e) {
    std::vector<std::string> names;
    for (const auto& option : options_)
      if (!is_positional(option)) names.push_back("--" + option.name);
    fail(fmt::format("there is no option '{}'{}", e.get_option_name(), did_you_mean(e.get_option_name(), names)));
  } catch (const po::error& e) {
    fail(e.what());
  }
  check_required();
  return true;
}

void Options::take_positional(const std::vector<std::string>& values) {
  auto next = values.begin();
  for (auto& option : options_) {
    if (!is_positional(option) || next == values.end()) continue;
    option.given = true;
    if (option.kind == Kind::arguments) {
      option.values.assign(next, values.end());
      next = values.end();
    } else {
      option.values = {*next++};
    }
  }
  if (next != values.end()) fail(fmt::format("'{}' is one argument too many", *next));
}

void Options::check_required() const {
  for (const auto& option : options_) {
    if (option.given) {
      for (const auto& value : option.values)
        if (value.empty() && option.kind != Kind::list) fail(fmt::format("{} is empty", option.name));
      continue;
    }
    if (option.kind == Kind::argument || option.kind == Kind::arguments)
      fail(fmt::format("{} is missing: {}", option.name, option.meaning));
    if (option.required) fail(fmt::format("--{} {} is missing: {}", option.name, option.placeholder, option.meaning));
  }
}

const Options::Option& Options::at(std::string_view name) const {
  for (const auto& option : options_)
    if (option.name == name) return option;
  throw InternalError(fmt::format("weft {}: option '{}' was not declared", verb_, name));
}

bool Options::has(std::string_view name) const {
  const auto& option = at(name);
  return option.given || !option.fallback.empty();
}

const std::string& Options::text(std::string_view name) const {
  const auto& option = at(name);
  return option.given && !option.values.empty() ? option.values.front() : option.fallback;
}

std::vector<std::string> Options::texts(std::string_view name) const { return at(name).values; }

std::vector<std::string> Options::names(std::string_view name) const {
  std::vector<std::string> parts;
  std::istringstream given(text(name));
  for (std::string part; std::getline(given, part, ',');) parts.push_back(part);
  return parts;
}

std::int64_t Options::integer(std::string_view name, std::int64_t low, std::int64_t high) const {
  const auto& given = text(name);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error != std::errc{} || end != given.data() + given.size() || value < low || value > high)
    fail(fmt::format("--{} takes a whole number from {} to {}, not '{}'", name, low, high, given));
  return value;
}

std::string Options::help() const {
  std::string usage = "weft " + verb_;
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& option : options_) {
    auto shown = option.name;
    if (!is_positional(option)) {
      shown = (option.letter.empty() ? "--" : "-" + option.letter + ", --") + option.name;
      if (!option.placeholder.empty()) shown += " " + option.placeholder;
    } else {
      usage += option.kind == Kind::optional_argument ? " [" + option.name + "]" : " " + option.name;
      if (option.kind == Kind::arguments) usage += "...";
    }
    if (option.required)
      usage +=
          fmt::format(" {} {}", option.letter.empty() ? "--" + option.name : "-" + option.letter, option.placeholder);
    rows.emplace_back(shown,
                      option.meaning + (option.fallback.empty() ? "" : fmt::format(" (default {})", option.fallback)));
  }
  // --help was declared first; it reads better last.
  std::rotate(rows.begin(), rows.begin() + 1, rows.end());

  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.first.size());
  auto out = fmt::format("{}\n\nUsage: {} [options]\n\n", summary_, usage);
  for (const auto& [shown, meaning] : rows) out += fmt::format("  {:{}}  {}\n", shown, width, meaning);
  for (const auto& paragraph : notes_) out += fmt::format("\n{}\n", paragraph);
  if (!examples_.empty()) out += "\nExamples:\n";
  for (const auto& line : examples_) out += fmt::format("  {}\n", line);
  return out;
}

}  // namespace weft::cli
