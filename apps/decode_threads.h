// Whether --decode-threads means anything, as `paceline train` and `paceline eval` ask.
#pragma once

#include "paceline/layers/input/dataset.h"
#include "paceline/result.h"

namespace paceline {

/// Refuses several threads for data that lie in memory.
inline Result<> check_decode_threads(const Data& data, unsigned threads) {
  if (threads <= 1 || data.train->files) return success();
  return fail(std::errc::invalid_argument,
              "{} lies in memory, and --decode-threads {} decode image files alone: leave it out",
              data.name, threads);
}

}  // namespace paceline
