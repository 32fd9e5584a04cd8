// The dropout masks that all devices share, so that they can be compared bit for bit. Element e (in
// N,H,W,C order) of operation k takes the e-th number of the stream (seed, k).
#pragma once

#include <cstddef>
#include <cstdint>

#include "paceline/compute/random.h"

namespace paceline {

/// Hands out the factors of one operation in one step, in element order.
class DropoutMask {
 public:
  DropoutMask(std::uint64_t seed, std::size_t operation, double probability)
      : stream_(seed, operation),
        threshold_(static_cast<std::uint64_t>(probability * 0x1p53)),
        scale_(static_cast<float>(1.0 / (1.0 - probability))) {}
  /// 0 with the operation's probability, else 1 / (1 - probability).
  float next() { return (stream_.next() >> 11) >= threshold_ ? scale_ : 0.0f; }

 private:
  Rng stream_;
  std::uint64_t threshold_;
  float scale_;
};

}  // namespace paceline
