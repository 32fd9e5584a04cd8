// Tables of numbers from files, for objectives: CSV without header, target last, and LIBSVM.
#pragma once

#include <filesystem>
#include <vector>

#include "paceline/result.h"

namespace paceline {

struct DataTable {
  std::size_t columns = 0;       ///< features, without the target
  std::vector<double> features;  ///< row by row
  std::vector<double> targets;

  std::size_t rows() const { return targets.size(); }
};

/// @return an error that names the file and the line: a row of another length, what is no number or
/// not finite, nothing at all
Result<DataTable> read_csv(const std::filesystem::path& file);
/// "LABEL INDEX:VALUE ..." a line, indices from 1.
Result<DataTable> read_libsvm(const std::filesystem::path& file);
/// Which of the two it is, its first line tells.
Result<DataTable> read_table(const std::filesystem::path& file);

/// Rows [first, first + count).
DataTable rows_of(const DataTable& table, std::size_t first, std::size_t count);
/// The same rows in the order of their targets.
DataTable by_target(const DataTable& table);

}  // namespace paceline
