#include "paceline/apps/compare_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

namespace paceline {
namespace {

using Json = nlohmann::ordered_json;

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

struct Spread {
  double mean = 0, min = 0, max = 0;
};

Spread spread(const std::vector<RunRecord>& runs, double RunRecord::*figure) {
  Spread s{0, INFINITY, -INFINITY};
  for (const RunRecord& run : runs) {
    s.mean += run.*figure / static_cast<double>(runs.size());
    s.min = std::min(s.min, run.*figure);
    s.max = std::max(s.max, run.*figure);
  }
  return s;
}

Json json_of(const std::vector<RunRecord>& runs, double RunRecord::*figure) {
  if (runs.empty()) return nullptr;
  const Spread s = spread(runs, figure);
  return {{"mean", finite(s.mean)}, {"min", finite(s.min)}, {"max", finite(s.max)}};
}

/// "24.6 (24.1-25.2)", the spread over seeds.
std::string percent(const std::vector<RunRecord>& runs, double RunRecord::*figure) {
  const Spread s = spread(runs, figure);
  if (runs.size() == 1) return fmt::format("{:.1f}", 100 * s.mean);
  return fmt::format("{:.1f} ({:.1f}–{:.1f})", 100 * s.mean, 100 * s.min, 100 * s.max);
}

std::size_t columns(const std::string& text) {  // of UTF-8
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows[0].size(), 3);
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t i = 0; i < widths.size(); ++i)
      text += "| " + rows[r][i] + std::string(widths[i] - columns(rows[r][i]) + 1, ' ');
    text += "|\n";
    if (r > 0) continue;
    for (const std::size_t width : widths) text += "|" + std::string(width + 2, '-');
    text += "|\n";
  }
  return text;
}

std::string notes(const CompareReport& report) {
  std::string text;
  for (std::size_t k = 0; k < report.contenders.size(); ++k) {
    const Contender& contender = report.plan.contenders[report.contenders[k]];
    const ContenderRecord& record = report.records[k];
    std::vector<std::string> said;
    if (!contender.note.empty()) said.push_back(contender.note);
    if (!record.choice.note.empty()) said.push_back(record.choice.note);
    const auto diverged = std::ranges::count_if(record.runs, &RunRecord::diverged);
    if (diverged > 0)
      said.push_back(fmt::format("{} of {} runs diverged", diverged, record.runs.size()));
    if (!record.choice.all_diverged && record.runs.size() < contender.seeds.size())
      said.push_back(fmt::format("{} of {} seeds are still to be run",
                                 contender.seeds.size() - record.runs.size(),
                                 contender.seeds.size()));
    if (!said.empty()) text += fmt::format("- {}: {}\n", contender.name, fmt::join(said, "; "));
  }
  return text;
}

}  // namespace

std::string report_table(const CompareReport& report) {
  std::vector<std::vector<std::string>> rows{{"protocol", "rate", "seeds", "leader or centre, %",
                                              "mean of workers, %", "images/s", "bytes"}};
  for (std::size_t k = 0; k < report.contenders.size(); ++k) {
    const std::vector<RunRecord>& runs = report.records[k].runs;
    if (runs.empty()) continue;
    rows.push_back({report.plan.contenders[report.contenders[k]].name,
                    fmt::format("{}", *report.records[k].choice.rate),
                    fmt::format("{}", runs.size()), percent(runs, &RunRecord::error_leader),
                    percent(runs, &RunRecord::error_mean),
                    fmt::format("{:.0f}", spread(runs, &RunRecord::images_per_second).mean),
                    std::isfinite(report.bytes[k]) ? fmt::format("{:.2f}", report.bytes[k]) : ""});
  }
  std::string text = rows.size() > 1 ? aligned(rows) : "No run of a seed has finished yet.\n";
  if (const std::string below = notes(report); !below.empty()) text += "\n" + below;
  return text;
}

std::string report_json(const CompareReport& report) {
  Json results = Json::array();
  for (std::size_t k = 0; k < report.contenders.size(); ++k) {
    const Contender& contender = report.plan.contenders[report.contenders[k]];
    const ContenderRecord& record = report.records[k];
    Json tried = Json::array(), runs = Json::array(), seeds = Json::array();
    for (const RunRecord& run : record.tried)
      tried.push_back({{"rate", run.run.rate},
                       {"train_loss", run.train_loss ? Json(*run.train_loss) : Json(nullptr)},
                       {"test_error_leader", finite(run.error_leader)},
                       {"diverged", !run.train_loss.has_value()}});
    double bytes = 0;
    bool counted = !record.runs.empty();
    for (const RunRecord& run : record.runs) {
      seeds.push_back(run.run.seed);
      counted = counted && run.bytes_received.has_value();
      const auto received = static_cast<double>(run.bytes_received.value_or(0));
      bytes += received / static_cast<double>(record.runs.size());
      runs.push_back(
          {{"seed", run.run.seed},
           {"test_error_leader", finite(run.error_leader)},
           {"test_error_mean", finite(run.error_mean)},
           {"train_seconds", run.train_seconds},
           {"images", run.images},
           {"images_per_second", run.images_per_second},
           {"bytes_received", run.bytes_received ? Json(*run.bytes_received) : Json(nullptr)},
           {"diverged", run.diverged}});
    }
    results.push_back({{"name", contender.name},
                       {"protocol", contender.protocol->name},
                       {"rate", record.choice.rate ? Json(*record.choice.rate) : Json(nullptr)},
                       {"tried", tried},
                       {"note", record.choice.note},
                       {"seeds", seeds},
                       {"test_error_leader", json_of(record.runs, &RunRecord::error_leader)},
                       {"test_error_mean", json_of(record.runs, &RunRecord::error_mean)},
                       {"train_seconds", json_of(record.runs, &RunRecord::train_seconds)},
                       {"images", json_of(record.runs, &RunRecord::images)},
                       {"images_per_second", json_of(record.runs, &RunRecord::images_per_second)},
                       {"bytes_received", counted ? Json(bytes) : Json(nullptr)},
                       {"bytes_per_parameter_step", finite(report.bytes[k])},
                       {"runs", runs}});
  }
  return Json{{"minutes", report.plan.minutes},
              {"grid_minutes", report.plan.grid_minutes},
              {"results", results}}
             .dump(2) +
         "\n";
}

std::string report_csv(const CompareReport& report) {
  std::string text = "name,protocol,rate,seed,tried,of,train_seconds,images,test_error\n";
  for (std::size_t k = 0; k < report.contenders.size(); ++k) {
    const Contender& contender = report.plan.contenders[report.contenders[k]];
    for (const auto* runs : {&report.records[k].tried, &report.records[k].runs})
      for (const RunRecord& run : *runs)
        for (const bool mean : {false, true})
          for (const TestPoint& p : mean ? run.mean : run.leader)
            text += fmt::format("{},{},{},{},{},{},{},{:.0f},{}\n", contender.name,
                                contender.protocol->name, run.run.rate, run.run.seed,
                                run.run.grid ? 1 : 0, mean ? "mean" : "leader", p.train_seconds,
                                p.images, std::isfinite(p.error) ? fmt::format("{}", p.error) : "");
  }
  return text;
}

}  // namespace paceline
