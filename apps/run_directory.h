// The folder of one run: made before anything is trained, so that a place that cannot be written is
// told at once.
//   RD-1 A folder that holds a run is never written into.
//   RD-2 What could not become a run leaves nothing behind that would be taken for one.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "paceline/result.h"

namespace paceline {

/// runs/20240131-235959-NETWORK-PROTOCOL, local time; "-2" and so on behind it when it is taken.
std::filesystem::path free_run_directory(std::string_view network, std::string_view protocol,
                                         std::chrono::system_clock::time_point now);

/// Makes the folder with its parents and writes config.ini into it.
/// @return an error when it holds a run already, cannot be made or cannot be written
Result<> prepare_run_directory(const std::filesystem::path& directory, std::string_view config);

/// RD-2: takes config.ini, and the folder if that was all, away again after a run that did not
/// start.
void abandon_run_directory(const std::filesystem::path& directory);

}  // namespace paceline
