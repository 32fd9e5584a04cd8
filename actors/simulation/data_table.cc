#include "paceline/actors/simulation/data_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <string>
#include <string_view>

namespace paceline {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

Result<double> number(std::string_view text, const std::filesystem::path& file, std::size_t line) {
  text = trimmed(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return fail(std::errc::invalid_argument, "{}, line {}: '{}' is not a finite number",
                file.string(), line, text);
  return value;
}

/// Calls f(line, number) for each line that is not empty, until one fails.
template <class F>
Result<> each_line(const std::filesystem::path& file, F f) {
  std::ifstream in(file);
  if (!in || std::filesystem::is_directory(file))
    return fail(std::errc::no_such_file_or_directory, "{} cannot be read", file.string());
  std::string line;
  for (std::size_t at = 1; std::getline(in, line); ++at)
    if (!trimmed(line).empty()) PACELINE_TRYV(f(trimmed(line), at));
  return success();
}

Result<DataTable> not_empty(DataTable table, const std::filesystem::path& file) {
  if (table.rows() == 0 || table.columns == 0)
    return fail(std::errc::invalid_argument, "{} has no rows of features and a target",
                file.string());
  return table;
}

}  // namespace

Result<DataTable> read_csv(const std::filesystem::path& file) {
  DataTable table;
  PACELINE_TRYV(each_line(file, [&](std::string_view line, std::size_t at) -> Result<> {
    std::vector<double> row;
    for (std::size_t begin = 0; begin <= line.size();) {
      const std::size_t end = std::min(line.find(',', begin), line.size());
      PACELINE_TRY(const double value, number(line.substr(begin, end - begin), file, at));
      row.push_back(value);
      begin = end + 1;
    }
    if (table.rows() == 0) table.columns = row.size() - 1;
    if (row.size() != table.columns + 1)
      return fail(std::errc::invalid_argument, "{}, line {}: {} values, and {} in the lines before",
                  file.string(), at, row.size(), table.columns + 1);
    table.targets.push_back(row.back());
    table.features.insert(table.features.end(), row.begin(), row.end() - 1);
    return success();
  }));
  return not_empty(std::move(table), file);
}

Result<DataTable> read_libsvm(const std::filesystem::path& file) {
  constexpr std::size_t kMostColumns = 1'000'000;
  struct Entry {
    std::size_t row, column;
    double value;
  };
  std::vector<Entry> entries;
  DataTable table;
  PACELINE_TRYV(each_line(file, [&](std::string_view line, std::size_t at) -> Result<> {
    bool first = true;
    while (!line.empty()) {
      const std::string_view word = line.substr(0, line.find_first_of(" \t"));
      line = trimmed(line.substr(word.size()));
      if (std::exchange(first, false)) {
        PACELINE_TRY(const double label, number(word, file, at));
        table.targets.push_back(label);
        continue;
      }
      const std::size_t colon = word.find(':');
      std::size_t column = 0;
      const std::string_view index = word.substr(0, colon);
      const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), column);
      if (colon == std::string_view::npos || error != std::errc() ||
          end != index.data() + index.size() || column == 0 || column > kMostColumns)
        return fail(std::errc::invalid_argument, "{}, line {}: '{}' is not INDEX:VALUE",
                    file.string(), at, word);
      PACELINE_TRY(const double value, number(word.substr(colon + 1), file, at));
      entries.push_back({table.rows() - 1, column - 1, value});
      table.columns = std::max(table.columns, column);
    }
    return success();
  }));
  table.features.resize(table.rows() * table.columns);
  for (const Entry& e : entries) table.features[e.row * table.columns + e.column] = e.value;
  return not_empty(std::move(table), file);
}

Result<DataTable> read_table(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line) && trimmed(line).empty()) {
  }
  return line.find(':') != std::string::npos ? read_libsvm(file) : read_csv(file);
}

DataTable rows_of(const DataTable& table, std::size_t first, std::size_t count) {
  const auto at = [&](const std::vector<double>& v, std::size_t i) {
    return v.begin() + static_cast<std::ptrdiff_t>(i);
  };
  return {table.columns,
          {at(table.features, first * table.columns),
           at(table.features, (first + count) * table.columns)},
          {at(table.targets, first), at(table.targets, first + count)}};
}

DataTable by_target(const DataTable& table) {
  std::vector<std::size_t> order(table.rows());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return table.targets[i]; });
  DataTable sorted{table.columns, {}, {}};
  for (const std::size_t i : order) {
    const DataTable row = rows_of(table, i, 1);
    sorted.features.insert(sorted.features.end(), row.features.begin(), row.features.end());
    sorted.targets.push_back(row.targets[0]);
  }
  return sorted;
}

}  // namespace paceline
