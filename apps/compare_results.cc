#include "paceline/apps/compare_results.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "paceline/apps/option_value.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

Json read_json(const fs::path& file) {
  std::ifstream stream(file);
  return Json::parse(stream, nullptr, false);
}

double number(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : NAN;
}

/// Steps of each worker against time, of about one line a second each.
class StepCounts {
 public:
  void add(const Json& step) {
    counts_[step.value("worker", -1)].emplace_back(number(step, "t"), number(step, "steps"));
  }
  /// Of all workers at t, between the lines by interpolation.
  double at(double t) const {
    double sum = 0;
    for (const auto& [worker, points] : counts_) {
      std::pair<double, double> before{0, 0};
      for (const auto& point : points) {
        if (point.first >= t) {
          const double span = point.first - before.first;
          before.second +=
              span > 0 ? (point.second - before.second) * (t - before.first) / span : 0;
          break;
        }
        before = point;
      }
      sum += before.second;
    }
    return sum;
  }

 private:
  std::map<int, std::vector<std::pair<double, double>>> counts_;
};

void read_curves(const fs::path& directory, double batch, RunRecord& record) {
  std::ifstream lines(directory / "metrics.jsonl");
  StepCounts steps;
  std::vector<std::pair<bool, TestPoint>> tests;
  for (std::string line; std::getline(lines, line);) {
    const Json event = Json::parse(line, nullptr, false);
    if (!event.is_object()) continue;
    const std::string kind = event.value("event", "");
    if (kind == "step") steps.add(event);
    if (kind != "evaluate") continue;
    tests.emplace_back(event.value("of", "") == "mean",
                       TestPoint{number(event, "t"), 0, number(event, "test_error")});
    if (!tests.back().first) record.diverged = !std::isfinite(number(event, "test_loss"));
  }
  for (auto& [of_mean, point] : tests) {
    const bool last = point.train_seconds >= record.train_seconds;
    point.images =
        last ? record.images : std::min(batch * steps.at(point.train_seconds), record.images);
    (of_mean ? record.mean : record.leader).push_back(point);
  }
  for (auto* curve : {&record.leader, &record.mean})
    std::ranges::sort(*curve, {}, &TestPoint::train_seconds);
}

Result<RunRecord> read_run(const fs::path& directory, const PlannedRun& run, double batch) {
  const Json summary = read_json(directory / "summary.json");
  RunRecord record;
  record.run = run;
  if (!summary.is_object())
    return fail(std::errc::illegal_byte_sequence, "{}: summary.json is damaged: remove the folder",
                directory.string());
  record.error_leader = number(summary, "test_error_leader");
  record.error_mean = number(summary, "test_error_mean");
  record.train_seconds = number(summary, "train_seconds");
  record.images_per_second = number(summary, "images_per_second");
  record.images = batch * number(summary, "steps");
  const auto events = summary.find("events");
  if (events != summary.end() && events->contains("leader_bytes"))
    record.bytes_received = events->at("leader_bytes").get<std::uint64_t>();
  read_curves(directory, batch, record);
  if (!run.grid) return record;
  const double loss = number(read_json(train_test_file(directory)), "train_loss");
  if (std::isfinite(loss) && !record.diverged) record.train_loss = loss;
  return record;
}

}  // namespace

fs::path train_test_file(const fs::path& run) { return run / "train-test.json"; }

bool has_train_test(const fs::path& run) {
  const Json json = read_json(train_test_file(run));
  return json.is_object() && json.contains("train_loss");
}

RateChoice choose_rate(const Contender& contender, const std::vector<RunRecord>& tried,
                       const std::vector<double>& failed) {
  RateChoice choice;
  const std::vector<double>& rates = contender.rates;
  if (rates.size() == 1) {
    choice.rate = rates[0];
    return choice;
  }
  if (tried.size() + failed.size() < rates.size()) return choice;
  std::vector<const RunRecord*> usable, best;
  for (const RunRecord& record : tried)
    if (record.train_loss) usable.push_back(&record);
  if (usable.empty()) {
    choice.all_diverged = true;
    choice.note = "diverged at every rate that was tried";
    return choice;
  }
  const auto loss = [](const RunRecord* r) { return *r->train_loss; };
  const double least = loss(*std::ranges::min_element(usable, {}, loss));
  for (const RunRecord* record : usable)
    if (loss(record) == least) best.push_back(record);
  const auto rate = [](const RunRecord* r) { return r->run.rate; };
  choice.rate = rate(*std::ranges::min_element(best, {}, rate));
  if (best.size() > 1) choice.note = "rates are equally good: the smallest is taken";
  const auto [lowest, highest] = std::ranges::minmax(rates);
  const bool end = *choice.rate == lowest || *choice.rate == highest;
  if (best.size() == 1 && end)
    choice.note = fmt::format("its best rate is the {} of the grid",
                              *choice.rate == lowest ? "lowest" : "highest");
  if (usable.size() < rates.size())
    choice.note += fmt::format("{}{} of {} rates diverged", choice.note.empty() ? "" : "; ",
                               rates.size() - usable.size(), rates.size());
  return choice;
}

Result<ContenderRecord> read_contender(const CompareFolder& folder, const ComparePlan& plan,
                                       std::size_t index,
                                       std::span<const std::string> environment) {
  const Contender& contender = plan.contenders[index];
  ContenderRecord record;
  std::vector<double> failed;
  const auto read = [&](const PlannedRun& run, std::vector<RunRecord>& into) -> Result<bool> {
    PACELINE_TRY(const TrainOptions options, options_of(plan, run, environment));
    PACELINE_TRY(const bool finished, folder.finished(plan, run, options));
    const fs::path directory = folder.run(plan, run);
    if (!finished || (run.grid && !has_train_test(directory))) return false;
    PACELINE_TRY(RunRecord one, read_run(directory, run, static_cast<double>(options.run.batch)));
    into.push_back(std::move(one));
    return true;
  };
  if (contender.rates.size() > 1)
    for (const double rate : contender.rates) {
      const PlannedRun run{index, true, rate, contender.seeds[0]};
      PACELINE_TRY(const bool there, read(run, record.tried));
      if (!there && fs::exists(folder.run(plan, run).string() + ".failed")) failed.push_back(rate);
    }
  record.choice = choose_rate(contender, record.tried, failed);
  if (!record.choice.rate) return record;
  for (const std::uint64_t seed : contender.seeds)
    PACELINE_TRYV(read({index, false, *record.choice.rate, seed}, record.runs));
  return record;
}

}  // namespace paceline
