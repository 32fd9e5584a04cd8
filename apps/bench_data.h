// `paceline bench data`: how fast image files become batches.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "paceline/result.h"

namespace paceline {

struct DataBenchOptions {
  std::string data;  ///< a folder of image files
  std::size_t image_size = 224, batch = 64;
  unsigned decode_threads = 1;
};

/// Draws augmented training batches for about five seconds, and drops them.
Result<nlohmann::json> bench_data(const DataBenchOptions& options);

}  // namespace paceline
