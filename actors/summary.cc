#include "paceline/actors/summary.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace paceline {
namespace {

nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json reads_json(const RunSummary::FabricReads& r) {
  return {{"reads", r.reads},
          {"bytes", r.bytes},
          {"retries", r.retries},
          {"retried_bytes", r.retried_bytes}};
}

}  // namespace

std::string summary_json(const RunSummary& s) {
  nlohmann::ordered_json events = nlohmann::ordered_json::object();
  for (const auto& [name, count] : s.events) events[name] = count;
  nlohmann::ordered_json settings = nlohmann::ordered_json::object();
  for (const auto& [name, value] : s.settings) settings[name] = value;
  nlohmann::ordered_json object = {
      {"test_error_leader", number(s.test_error_leader)},
      {"test_error_mean", number(s.test_error_mean)},
      {"wall_seconds", number(s.wall_seconds)},
      {"train_seconds", number(s.train_seconds)},
      {"images_per_second", number(s.images_per_second)},
      {"steps", s.steps},
      {"learning_rate", number(s.learning_rate)},
      {"leader_changes", s.leader_changes},
      {"coordination_fraction", number(s.coordination_fraction)},
      {"evaluation_cpu_seconds", number(s.evaluation_cpu_seconds)},
      {"decode_cpu_seconds", number(s.decode_cpu_seconds)},
      {"data_wait_seconds", number(s.data_wait_seconds)},
      {"skipped_files", s.skipped.size()},
      {"devices", s.devices},
      {"seed", s.seed},
      {"protocol", s.protocol},
      {"settings", settings},
      {"ended_by", s.ended_by},
      {"events", events},
  };
  if (!s.pinned.empty()) object["pinned"] = s.pinned;
  if (s.fabric.kind != FabricKind::none) {
    nlohmann::ordered_json groups = nlohmann::ordered_json::array();
    for (const RunSummary::FabricReads& reads : s.fabric_reads) groups.push_back(reads_json(reads));
    object["fabric"] = {{"kind", word_of(s.fabric.kind)},
                        {"why", s.fabric.why},
                        {"groups", groups},
                        {"tests", reads_json(s.fabric_tests)}};
  }
  return object.dump(2) + "\n";
}

}  // namespace paceline
