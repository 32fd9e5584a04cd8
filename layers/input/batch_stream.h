// A worker's stream of training batches, and the test set in order. Each is owned by one worker and
// used by one thread; the data behind it is shared.
//   BS-1 The same data and options give the same batches, bit for bit, whatever other workers do.
//   BS-2 Batches run over the borders of epochs: each epoch of a worker's images is seen whole,
//        each image once, before the next begins.
//   BS-3 Nothing is allocated after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "paceline/compute/device.h"
#include "paceline/compute/random.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/layers/input/normaliser.h"

namespace paceline {

enum class Sampling : std::uint8_t {
  shuffled,  ///< every worker runs through the whole set in an order of its own (the papers' way)
  sharded,   ///< worker r of n sees every n-th image of one common permutation, in an order of its
             ///< own; with more workers than images, some share one
};

struct StreamOptions {
  std::size_t batch = 128;
  Shape image;  ///< height and width after cropping; at most the set's
  Sampling sampling = Sampling::shuffled;
  std::uint64_t seed = 1;
  std::uint32_t worker = 0, workers = 1;
  bool augment = true;  ///< crop at random (images of the network's size are padded first, by
                        ///< Data::padding) and flip
};

/// Where a stream stands: what a checkpoint needs to go on with the same batches.
struct StreamState {
  std::uint64_t epoch = 0;     ///< of this worker's images
  std::uint64_t position = 0;  ///< images drawn of this epoch
  std::uint64_t rng = 0;       ///< of the augmentation
  bool operator==(const StreamState&) const = default;
};

/// Endless training batches.
class BatchStream {
 public:
  /// @param data  shared, not copied
  BatchStream(const Data& data, const StreamOptions& options);
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  /// The next batch; the views stay valid until the next call.
  const Batch& next();
  /// In all epochs.
  std::uint64_t images_drawn() const { return epoch_ * order_.size() + position_; }
  /// Images that this worker sees in an epoch.
  std::size_t images_per_epoch() const { return order_.size(); }

  StreamState state() const;
  /// Goes on from where a stream with the same data and options stood.
  void restore(const StreamState& state);

 private:
  /// Puts `order_` into this epoch's order, which depends on seed, worker and epoch alone.
  void shuffle();
  Window random_window();

  const std::shared_ptr<const Dataset> set_;
  const bool augment_, flip_;
  const std::ptrdiff_t padding_;
  const std::uint64_t order_seed_;
  std::vector<std::uint32_t> shard_;  ///< this worker's images; constant
  std::vector<std::uint32_t> order_;  ///< the same, in this epoch's order
  std::uint64_t epoch_ = 0;
  std::size_t position_ = 0;  ///< in order_
  Rng augmentation_;
  Normaliser normaliser_;
  std::vector<float> images_;         ///< [batch,H,W,C]
  std::vector<std::int32_t> labels_;  ///< [batch]
  Batch batch_;
};

/// The test set (or any set) in order, centre-cropped and normalised, in batches of at most
/// `batch`.
class TestStream {
 public:
  /// @param data  whose statistics normalise; not kept
  /// @param set  outlives the stream
  TestStream(const Data& data, const Dataset& set, Shape image, std::size_t batch);
  TestStream(const TestStream&) = delete;
  TestStream& operator=(const TestStream&) = delete;

  /// An empty batch at the end; rewind() starts again. The views stay valid until the next call.
  const Batch& next();
  void rewind() { position_ = 0; }

 private:
  const Dataset& set_;
  std::size_t position_ = 0;
  Normaliser normaliser_;
  std::vector<float> images_;
  std::vector<std::int32_t> labels_;
  Batch batch_;
};

/// Runs the whole set through a network.
/// @param x [P] in the executable's device memory
Evaluation evaluate(Executable& executable, ConstVector x, TestStream& stream);

}  // namespace paceline
