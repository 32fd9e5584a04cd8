// The processes of a run whose workers are processes, seen from outside, and what they leave behind.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "temporary_folder.h"

namespace paceline {

constexpr std::chrono::seconds kDeadline{600};  // a watchdog, no bound

/// The processes that have `text` in their command line.
inline std::vector<pid_t> processes_with(const std::string& text) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "cmdline");
    std::string line((std::istreambuf_iterator<char>(file)), {});
    std::ranges::replace(line, '\0', ' ');
    if (line.find(text) != std::string::npos) found.push_back(std::stoi(name));
  }
  return found;
}

/// The workers of the run in `directory`; of one rank, if that is given.
inline std::vector<pid_t> workers_of(const std::filesystem::path& directory,
                                     const std::string& rank = "") {
  std::vector<pid_t> found;
  for (const pid_t pid : processes_with("worker --config " + (directory / "config.ini").string()))
    if (rank.empty() || std::ranges::count(processes_with("--rank " + rank + " "), pid))
      found.push_back(pid);
  return found;
}

/// As ps shows it: 'R' runs, 'S' sleeps, 'T' is stopped; 0: there is no such process.
inline char state_of(pid_t pid) {
  std::ifstream file(std::filesystem::path("/proc") / std::to_string(pid) / "stat");
  const std::string line((std::istreambuf_iterator<char>(file)), {});
  const std::size_t name_end = line.rfind(") ");
  return name_end == std::string::npos ? '\0' : line[name_end + 2];
}

/// Whether a child of ours has not ended yet, collected or not.
inline bool runs(pid_t pid) { return state_of(pid) != 'Z' && state_of(pid) != '\0'; }

inline std::vector<nlohmann::json> events(const std::filesystem::path& directory,
                                          const std::string& event) {
  std::vector<nlohmann::json> found;
  std::istringstream lines(content(directory / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_discarded() && object.at("event") == event) found.push_back(object);
  }
  return found;
}

template <class Condition>
bool within_deadline(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + kDeadline;
  while (!condition() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return condition();
}

/// What the names of a running run's segments begin with; empty while no worker has been started.
inline std::string segments_of(const std::filesystem::path& directory) {
  for (const pid_t pid : workers_of(directory)) {
    std::ifstream file(std::filesystem::path("/proc") / std::to_string(pid) / "cmdline");
    const std::string line((std::istreambuf_iterator<char>(file)), {});
    const std::size_t begin = line.find("/paceline."), end = line.find(".run", begin);
    if (begin != std::string::npos && end != std::string::npos)
      return line.substr(begin + 1, end - begin);
  }
  return "";
}

/// The segments whose names begin so.
inline std::vector<std::string> segments(const std::string& prefix) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    if (entry.path().filename().string().starts_with(prefix))
      names.push_back(entry.path().filename());
  return names;
}

}  // namespace paceline
