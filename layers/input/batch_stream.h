// A worker's stream of training batches, and the test set in order. Owned by one worker; one
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "paceline/compute/device.h"
#include "paceline/compute/random.h"
#include "paceline/layers/input/dataset.h"

namespace paceline {

enum class Sampling : std::uint8_t {
  shuffled,  ///< every worker runs through the whole set in an order of its own (the papers' way)
  sharded,   ///< worker r of n sees every n-th image of one common permutation
};

struct StreamOptions {
  std::size_t batch = 128;
  Shape image;  ///< height and width after cropping
  Sampling sampling = Sampling::shuffled;
  std::uint64_t seed = 1;
  std::uint32_t worker = 0, workers = 1;
  bool augment =
      true;  ///< crop at random (images of the network's size are padded by 4 first) and flip
};

/// Endless training batches. The same options give the same batches, whatever other workers do.
class BatchStream {
 public:
  BatchStream(const Data& data, const StreamOptions& options);
  /// The next batch; the views stay valid until the next call.
  const Batch& next();
  std::uint64_t images_drawn() const;
  // (private members are the implementer's)
};

/// The test set (or any set) in order, centre-cropped and normalised, in batches of at most
/// `batch`.
class TestStream {
 public:
  TestStream(const Data& data, const Dataset& set, Shape image, std::size_t batch);
  /// An empty batch at the end; rewind() starts again.
  const Batch& next();
  void rewind();
};

}  // namespace paceline
