// Einsum: labels are read, operands are multiplied pair by pair, what no later one needs is summed away.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

/// A value and the label of each of its dimensions. Ellipsis dimensions have labels '0', '1', ... from the right.
struct Term {
  ValueId value;
  std::string labels;
};

std::string without_spaces(const std::string& text) {
  std::string result;
  for (const char ch : text)
    if (ch != ' ') result += ch;
  return result;
}

std::vector<std::string> cut(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (const char ch : text) {
    if (ch == at)
      parts.emplace_back();
    else
      parts.back() += ch;
  }
  return parts;
}

/// "...ij" with two dimensions under the ellipsis becomes "10ij".
std::string expanded(const std::string& labels, int ellipsis) {
  std::string result;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels.compare(i, 3, "...") == 0) {
      for (int d = ellipsis - 1; d >= 0; --d) result += static_cast<char>('0' + d);
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(labels[i])) != 0) {
      result += labels[i];
    } else {
      OpContext::unsupported("the equation has '" + labels.substr(i, 1) + "' where a letter belongs");
    }
  }
  return result;
}

bool has(const std::string& labels, char label) { return labels.find(label) != std::string::npos; }

/// Dimensions of equal labels become one: their diagonal.
Term diagonal(GraphBuilder& b, Term term) {
  for (std::size_t i = 0; i < term.labels.size(); ++i) {
    const std::size_t j = term.labels.find(term.labels[i], i + 1);
    if (j == std::string::npos) continue;
    const Shape shape = b.shape(term.value);
    if (shape[static_cast<int>(i)] != shape[static_cast<int>(j)])
      OpContext::unsupported(fmt::format("label '{}' stands for two extents", term.labels[i]));
    const ValueId on = b.binary(Op::equal, b.iota(DType::i64, shape, static_cast<int>(i)),
                                b.iota(DType::i64, shape, static_cast<int>(j)));
    const ValueId kept = b.select(on, term.value, b.like(term.value, 0));
    term.value = b.reduce(Op::reduce_sum, kept, {static_cast<std::int64_t>(j)});
    term.labels.erase(j, 1);
    --i;
  }
  return term;
}

/// Labels that neither `others` nor the result needs are summed.
Term summed(GraphBuilder& b, Term term, const std::string& others) {
  Dims gone;
  std::string left;
  for (std::size_t i = 0; i < term.labels.size(); ++i) {
    if (has(others, term.labels[i]))
      left += term.labels[i];
    else
      gone.push_back(static_cast<std::int64_t>(i));
  }
  if (!gone.empty()) term.value = b.reduce(Op::reduce_sum, term.value, gone);
  return {term.value, left};
}

/// An extent of 1 broadcasts: dimensions of `x` that are 1 where `y`'s are not lose their label to a sum.
Term without_broadcast(GraphBuilder& b, Term x, const Term& y) {
  Dims gone;
  std::string left;
  for (std::size_t i = 0; i < x.labels.size(); ++i) {
    const std::size_t j = y.labels.find(x.labels[i]);
    const bool one = b.shape(x.value)[static_cast<int>(i)] == 1;
    if (one && j != std::string::npos && b.shape(y.value)[static_cast<int>(j)] != 1)
      gone.push_back(static_cast<std::int64_t>(i));
    else
      left += x.labels[i];
  }
  if (!gone.empty()) x.value = b.reduce(Op::reduce_sum, x.value, gone);
  return {x.value, left};
}

Term product(GraphBuilder& b, Term x, Term y, const std::string& later) {
  x = without_broadcast(b, summed(b, std::move(x), y.labels + later), y);
  y = without_broadcast(b, summed(b, std::move(y), x.labels + later), x);
  Dims x_batch, y_batch, x_contract, y_contract;
  std::string batch, x_free, y_free;
  for (std::size_t i = 0; i < x.labels.size(); ++i) {
    const char label = x.labels[i];
    const std::size_t j = y.labels.find(label);
    if (j == std::string::npos) {
      x_free += label;
      continue;
    }
    const bool kept = has(later, label);
    if (kept) batch += label;
    (kept ? x_batch : x_contract).push_back(static_cast<std::int64_t>(i));
    (kept ? y_batch : y_contract).push_back(static_cast<std::int64_t>(j));
  }
  for (const char label : y.labels)
    if (!has(x.labels, label)) y_free += label;
  return {b.dot(x.value, y.value, x_batch, y_batch, x_contract, y_contract), batch + x_free + y_free};
}

/// The labels that appear once, in alphabetical order, after the ellipsis: the result when none is written.
std::string implicit_result(const std::vector<Term>& terms, int ellipsis) {
  std::map<char, int> counts;
  for (const Term& term : terms)
    for (const char label : term.labels) ++counts[label];
  std::string result = expanded("...", ellipsis);
  for (const auto& [label, count] : counts)
    if (count == 1 && std::isalpha(static_cast<unsigned char>(label)) != 0) result += label;
  return result;
}

std::vector<ValueId> import_einsum(OpContext& c) {
  const std::string equation = without_spaces(c.text("equation", ""));
  const std::size_t arrow = equation.find("->");
  const std::vector<std::string> inputs = cut(equation.substr(0, arrow), ',');
  if (static_cast<int>(inputs.size()) != c.size())
    OpContext::unsupported(fmt::format("equation '{}' is of {} operands, not {}", equation, inputs.size(), c.size()));
  std::vector<Term> terms;
  int ellipsis = 0;
  for (int i = 0; i < c.size(); ++i) {
    const std::string& text = inputs[static_cast<std::size_t>(i)];
    const bool dots = text.find("...") != std::string::npos;
    const int named = static_cast<int>(text.size()) - (dots ? 3 : 0), hidden = c.rank(i) - named;
    if (hidden < 0 || (hidden > 0 && !dots) || hidden > 9)
      OpContext::unsupported(fmt::format("'{}' does not fit an operand of {} dimensions", text, c.rank(i)));
    ellipsis = std::max(ellipsis, hidden);
    terms.push_back(diagonal(c.b, {c.in(i), expanded(text, hidden)}));
  }
  const std::string result =
      arrow == std::string::npos ? implicit_result(terms, ellipsis) : expanded(equation.substr(arrow + 2), ellipsis);
  Term all = terms.front();
  for (std::size_t i = 1; i < terms.size(); ++i) {
    std::string later = result;
    for (std::size_t j = i + 1; j < terms.size(); ++j) later += terms[j].labels;
    all = product(c.b, all, terms[i], later);
  }
  all = summed(c.b, all, result);
  Dims order;
  for (const char label : result) {
    const std::size_t at = all.labels.find(label);
    if (at == std::string::npos)
      OpContext::unsupported(fmt::format("label '{}' of the result is in no operand", label));
    order.push_back(static_cast<std::int64_t>(at));
  }
  if (order.size() != all.labels.size()) OpContext::unsupported("the result repeats a label");
  return {c.b.transpose(all.value, order)};
}

constexpr OpRow kEinsumRows[] = {{"Einsum", import_einsum}};

}  // namespace

std::span<const OpRow> einsum_rows() { return kEinsumRows; }

}  // namespace weft::onnx
