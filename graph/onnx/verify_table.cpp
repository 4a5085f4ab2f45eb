// The report of backend-test cases as a Markdown page.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "graph/onnx/verify.hpp"

namespace weft::onnx {
namespace {

using Counts = std::array<int, 3>;  // by CaseStatus

/// The operators that a case speaks of: those that stand in the way where it is not supported and says which, else all
/// of its model.
std::vector<std::string> operators_concerned(const CaseResult& result) {
  std::vector<std::string> named;
  if (result.status == CaseStatus::unsupported)
    for (const std::string& op : result.operators)
      if (result.detail.find("- " + op + " node ") != std::string::npos) named.push_back(op);
  return named.empty() ? result.operators : named;
}

/// The reason without what differs between cases: the count of obstacles and the node's name.
std::string reason_of(const CaseResult& result) {
  std::string reason = result.detail;
  if (const auto at = reason.find("obstacle"); at != std::string::npos)
    if (const auto dash = reason.find(": - ", at); dash != std::string::npos) reason.erase(0, dash + 4);
  if (const auto next = reason.find(" - ", 0); next != std::string::npos && reason.find(" node ", next) < reason.size())
    reason.erase(next);
  if (const auto node = reason.find(" node "); node != std::string::npos)
    if (const auto colon = reason.find(": ", node); colon != std::string::npos)
      reason = reason.substr(0, node) + reason.substr(colon);
  if (result.status == CaseStatus::unsupported && reason.starts_with("test_data_set_"))
    if (const auto colon = reason.find(": "); colon != std::string::npos) reason.erase(0, colon + 2);
  for (const char* port : {"input_", "output_"})
    if (const auto colon = reason.find(".pb: "); reason.starts_with(port) && colon != std::string::npos)
      reason.erase(0, colon + 5);
  if (const auto version = reason.find(", version "); version != std::string::npos && reason.ends_with(")"))
    reason.replace(version, std::string::npos, ")");
  while (!reason.empty() && reason.back() == ' ') reason.pop_back();
  std::replace(reason.begin(), reason.end(), '|', '/');
  return reason;
}

std::string counts_row(const std::string& name, const std::vector<Counts>& suites) {
  std::string row = "| " + name;
  for (const Counts& counts : suites)
    for (const int count : counts) row += count == 0 ? " | " : fmt::format(" | {}", count);
  return row + " |\n";
}

std::string heading(const std::string& first, const std::vector<std::string>& suites) {
  std::string names = "| " + first, rule = "| ---";
  for (const std::string& suite : suites) {
    names += fmt::format(" | {0}: pass | {0}: fail | {0}: unsupported", suite);
    rule += " | ---: | ---: | ---:";
  }
  return names + " |\n" + rule + " |\n";
}

std::string reasons_table(const VerifySummary& summary, CaseStatus status) {
  std::map<std::string, std::set<std::string>> cases;
  for (const CaseResult& result : summary.cases)
    if (result.status == status) cases[reason_of(result)].insert(result.folder.filename().string());
  std::string text = "| reason | cases | for instance |\n| --- | ---: | --- |\n";
  for (const auto& [reason, names] : cases)
    text += fmt::format("| {} | {} | `{}` |\n", reason, names.size(), *names.begin());
  return text;
}

}  // namespace

std::string to_markdown(const VerifySummary& summary, const std::vector<std::string>& suites,
                        const std::string& target) {
  std::vector<Counts> totals(suites.size(), Counts{});
  std::map<std::string, std::vector<Counts>> operators;
  for (const CaseResult& result : summary.cases) {
    const auto status = static_cast<std::size_t>(result.status);
    ++totals.at(result.suite)[status];
    for (const std::string& op : operators_concerned(result)) {
      auto& row = operators.try_emplace(op, suites.size(), Counts{}).first->second;
      ++row[result.suite][status];
    }
  }
  std::string text = fmt::format(
      "# ONNX operators\n\nWritten by `weft verify {} --target {} --table`. A case counts for every operator of its "
      "model; one that is not supported, for the operators that stand in the way.\n\n",
      fmt::join(suites, " "), target);
  text += heading("", suites) + counts_row("cases", totals) + "\n" + heading("operator", suites);
  for (const auto& [op, counts] : operators) text += counts_row(op, counts);
  if (summary.failed > 0) text += "\n## Wrong answers\n\n" + reasons_table(summary, CaseStatus::fail);
  if (summary.unsupported > 0)
    text += "\n## Why cases are not supported\n\n" + reasons_table(summary, CaseStatus::unsupported);
  return text;
}

}  // namespace weft::onnx
