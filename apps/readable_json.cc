#include "paceline/apps/readable_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

namespace paceline {
namespace {

std::string cell(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.4g}", value.get<double>());
  return value.dump();
}

bool is_table(const nlohmann::json& value) {
  return value.is_array() && !value.empty() &&
         std::ranges::all_of(value, [](const auto& row) { return row.is_object(); });
}

std::string table(const nlohmann::json& rows) {
  std::map<std::string, std::size_t> columns;  // by name, with their widths
  for (const auto& row : rows) {
    for (const auto& [key, value] : row.items()) {
      columns[key] = std::max({columns[key], key.size(), cell(value).size()});
    }
  }
  std::string text;
  for (const auto& [key, width] : columns) text += fmt::format("  {:>{}}", key, width);
  text += '\n';
  for (const auto& row : rows) {
    for (const auto& [key, width] : columns) {
      text += fmt::format("  {:>{}}", row.contains(key) ? cell(row.at(key)) : "", width);
    }
    text += '\n';
  }
  return text;
}

}  // namespace

std::string readable_json(const nlohmann::json& figures) {
  if (is_table(figures)) return table(figures);
  if (!figures.is_object()) return cell(figures) + "\n";
  std::size_t widest = 0;
  for (const auto& [key, value] : figures.items()) widest = std::max(widest, key.size());
  std::string text;
  for (const auto& [key, value] : figures.items()) {
    text += is_table(value) ? fmt::format("{}\n{}", key, table(value))
                            : fmt::format("{:<{}}  {}\n", key, widest, cell(value));
  }
  return text;
}

}  // namespace paceline
