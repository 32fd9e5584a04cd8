#include "paceline/apps/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace paceline {
namespace {

constexpr const char* kReorder = "reorder";

double ratio(double a, double b) { return b > 0 ? a / b : 0; }

/// Long names lose their ends.
std::string clipped(const std::string& text, std::size_t width) {
  return text.size() <= width ? text : text.substr(0, width - 2) + "..";
}

/// A figure, or nothing where there is none.
std::string figure(double value, int decimals) {
  return value > 0 ? fmt::format("{:.{}f}", value, decimals) : "";
}

}  // namespace

double roofline_seconds(const OperationCost& cost, const MachineLimits& limits) {
  return std::max(cost.flops / limits.flops_per_second, cost.bytes / limits.bytes_per_second);
}

nlohmann::json roofline(std::span<const OperationCost> costs, const MachineLimits& limits,
                        double step_seconds) {
  double seconds = 0, floor = 0, reorders = 0;
  for (const OperationCost& cost : costs) {
    seconds += cost.seconds;
    floor += roofline_seconds(cost, limits);
    if (cost.how == kReorder) reorders += cost.seconds;
  }
  nlohmann::json operations = nlohmann::json::array();
  for (const OperationCost& cost : costs) {
    operations.push_back({{"name", cost.name},
                          {"pass", cost.pass},
                          {"how", cost.how},
                          {"seconds", cost.seconds},
                          {"share", ratio(cost.seconds, seconds)},
                          {"flops", cost.flops},
                          {"bytes", cost.bytes},
                          {"flops_per_second", ratio(cost.flops, cost.seconds)},
                          {"bytes_per_second", ratio(cost.bytes, cost.seconds)},
                          {"roofline_seconds", roofline_seconds(cost, limits)}});
  }
  return {{"flops_per_second_peak", limits.flops_per_second},
          {"bytes_per_second_peak", limits.bytes_per_second},
          {"step_seconds", step_seconds},
          {"operations_seconds", seconds},
          {"roofline_seconds", floor},
          {"reorder_seconds", reorders},
          {"times_roofline", ratio(step_seconds, floor)},
          {"operations", std::move(operations)}};
}

std::string roofline_table(const nlohmann::json& roofline) {
  std::vector<nlohmann::json> rows = roofline.at("operations");
  std::ranges::stable_sort(rows, std::ranges::greater(), [](const auto& row) {
    return row.at("seconds").template get<double>();
  });
  std::string text =
      fmt::format("{:<24}  {:<16}  {:<28}  {:>7}  {:>5}  {:>7}  {:>6}  {:>8}\n", "operation",
                  "pass", "how", "ms", "share", "GFLOP/s", "GB/s", "roofline");
  for (const nlohmann::json& row : rows) {
    const auto number = [&](const char* key) { return row.at(key).get<double>(); };
    std::string line = fmt::format(
        "{:<24}  {:<16}  {:<28}  {:>7.3f}  {:>4.1f}%  {:>7}  {:>6}  {:>8}",
        clipped(row.at("name"), 24), clipped(row.at("pass"), 16), clipped(row.at("how"), 28),
        number("seconds") * 1e3, number("share") * 100, figure(number("flops_per_second") / 1e9, 1),
        figure(number("bytes_per_second") / 1e9, 1),
        number("roofline_seconds") > 0
            ? fmt::format("{:.2f}x", number("seconds") / number("roofline_seconds"))
            : "");
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  const auto number = [&](const char* key) { return roofline.at(key).get<double>(); };
  return text +
         fmt::format(
             "\nmachine   {:.0f} GFLOP/s at most, {:.1f} GB/s from and to memory\n"
             "step      {:.3f} ms; its operations alone {:.3f} ms, of which reorders {:.3f} ms\n"
             "roofline  {:.3f} ms: the step takes {:.2f} times that\n",
             number("flops_per_second_peak") / 1e9, number("bytes_per_second_peak") / 1e9,
             number("step_seconds") * 1e3, number("operations_seconds") * 1e3,
             number("reorder_seconds") * 1e3, number("roofline_seconds") * 1e3,
             number("times_roofline"));
}

}  // namespace paceline
