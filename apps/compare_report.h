// What a comparison has come to: a table for people, JSON and CSV.
#pragma once

#include <string>
#include <vector>

#include "paceline/apps/compare_results.h"

namespace paceline {

/// Those that are reported on, in the order of the table.
struct CompareReport {
  const ComparePlan& plan;
  std::vector<std::size_t> contenders;
  std::vector<ContenderRecord> records;  ///< one each
  std::vector<double>
      bytes;  ///< a parameter and step of one worker moves, counted in the simulator
};

/// Markdown, with notes below.
std::string report_table(const CompareReport& report);
/// One object with `results`, indented; what is not finite or not there is null.
std::string report_json(const CompareReport& report);
/// A line a test of every run.
std::string report_csv(const CompareReport& report);

}  // namespace paceline
