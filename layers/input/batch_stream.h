// A worker's stream of training batches, and the test set in order. Each is owned by one worker and
// used by one thread; the data behind it is shared.
//   BS-1 The same data and options give the same batches, bit for bit, whatever other workers do
//        and however many threads decode.
//   BS-2 Batches run over the borders of epochs: each epoch of a worker's images is seen whole,
//        each image once, before the next begins.
//   BS-3 Nothing is allocated after construction on the stream's own thread.
//   BS-4 Sets in memory are cut by the stream's own thread, or only copied for devices that cut by
//        themselves; image files by threads of the stream's, which are ahead of it by a few batches
//        and end with it (read_ahead_internal.h).
//   BS-5 Raw batches, cut by RawBatch's rule, are the others bit for bit.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "paceline/compute/device.h"
#include "paceline/compute/random.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/layers/input/normaliser.h"
#include "paceline/layers/input/sample_order.h"

namespace paceline {

class ReadAhead;

struct StreamOptions {
  std::size_t batch = 128;
  Shape image;  ///< height and width after cropping; at most the set's
  Sampling sampling = Sampling::shuffled;
  std::uint64_t seed = 1;
  std::uint32_t worker = 0, workers = 1;
  /// Crop at random and flip. In memory, images of the network's size are padded first, by
  /// Data::padding; image files give a random part that is resized. Otherwise: the middle.
  bool augment = true;
  unsigned decode_threads = 1;  ///< for image files
  bool raw =
      false;  ///< sets in memory give raw batches, for devices that take them; files never do
};

/// Where a stream stands: what a checkpoint needs to go on with the same batches.
struct StreamState {
  std::uint64_t epoch = 0;     ///< of this worker's images
  std::uint64_t position = 0;  ///< images drawn of this epoch
  std::uint64_t rng = 0;       ///< of the augmentation of sets in memory
  bool operator==(const StreamState&) const = default;
};

/// Endless training batches.
class BatchStream {
 public:
  /// @param data  shared, not copied
  BatchStream(const Data& data, const StreamOptions& options);
  ~BatchStream();
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;

  /// The next batch; the views stay valid until the next call.
  const Batch& next();
  /// In all epochs.
  std::uint64_t images_drawn() const { return drawn_; }
  /// Images that this worker sees in an epoch.
  std::size_t images_per_epoch() const { return order_.images_per_epoch(); }

  StreamState state() const;
  /// Goes on from where a stream with the same data and options stood.
  void restore(const StreamState& state);

 private:
  void cut_batch();
  Window random_window();

  const std::shared_ptr<const Dataset> set_;
  const bool augment_, flip_;
  const std::ptrdiff_t padding_;
  SampleOrder order_;  ///< of files: the threads' own, but in restore()
  std::uint64_t drawn_ = 0;
  Rng augmentation_;
  Normaliser normaliser_;
  const bool gives_raw_;
  std::vector<float> images_;         ///< [batch,H,W,C]; of files and of raw batches: empty
  std::vector<std::uint8_t> bytes_;   ///< [batch,stored.H,stored.W,C] of raw batches
  std::vector<Cut> cuts_;             ///< [batch] of raw batches
  std::vector<std::int32_t> labels_;  ///< [batch]
  RawBatch raw_;
  Batch batch_;
  std::unique_ptr<ReadAhead> files_;  ///< where the set has files
};

/// The test set (or any set) in order, centre-cropped and normalised, in batches of at most
/// `batch`. Files that cannot be read are left out.
class TestStream {
 public:
  /// @param data  whose statistics normalise; not kept
  /// @param set  outlives the stream
  /// @param raw  as StreamOptions has it; the bytes are the set's own
  TestStream(const Data& data, const Dataset& set, Shape image, std::size_t batch,
             unsigned decode_threads = 1, bool raw = false);
  ~TestStream();
  TestStream(const TestStream&) = delete;
  TestStream& operator=(const TestStream&) = delete;

  /// An empty batch at the end; rewind() starts again. The views stay valid until the next call.
  const Batch& next();
  void rewind();

 private:
  const Dataset& set_;
  std::size_t position_ = 0;  ///< of files: the threads' own, but in rewind()
  Normaliser normaliser_;
  const bool gives_raw_;
  std::vector<float> images_;  ///< [batch,H,W,C]; of files and of raw batches: empty
  std::vector<Cut> cuts_;      ///< [batch] of raw batches, all in the middle
  std::vector<std::int32_t> labels_;
  RawBatch raw_;
  Batch batch_;
  enum class At : std::uint8_t { start, middle, end } at_ = At::start;  ///< of files
  std::unique_ptr<ReadAhead> files_;
};

}  // namespace paceline
