// In which order a worker sees a set's images. Depends on the set's size, the seed and the worker
// alone. One owner.
#pragma once

#include <cstdint>
#include <vector>

#include "paceline/compute/random.h"

namespace paceline {

enum class Sampling : std::uint8_t {
  shuffled,  ///< every worker runs through the whole set in an order of its own (the papers' way)
  sharded,   ///< worker r of n sees every n-th image of one common permutation, in an order of its
             ///< own; with more workers than images, some share one
};

/// Endless: epoch after epoch, each of the worker's images once an epoch.
class SampleOrder {
 public:
  /// @param images  of the whole set, 1 to 2^32 - 1; @param worker  below `workers`
  SampleOrder(std::size_t images, Sampling sampling, std::uint64_t seed, std::uint32_t worker,
              std::uint32_t workers);

  struct Sample {
    std::uint32_t image = 0;
    std::uint64_t epoch = 0;
  };
  Sample next();
  /// Images that the worker sees in an epoch.
  std::size_t images_per_epoch() const { return order_.size(); }
  /// Goes on after `position` images of an epoch. @pre position <= images_per_epoch()
  void seek(std::uint64_t epoch, std::uint64_t position);

 private:
  /// Puts `order_` into this epoch's order.
  void shuffle();

  const std::uint64_t order_seed_;
  const std::vector<std::uint32_t> shard_;  ///< this worker's images
  std::vector<std::uint32_t> order_;        ///< the same, in this epoch's order
  std::uint64_t epoch_ = 0, position_ = 0;
};

}  // namespace paceline
