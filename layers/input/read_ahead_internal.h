// Threads that read image files ahead of one consumer: batch after batch, in the order of a plan.
//   RA-1 What a batch holds is decided by its plan alone, image by image; not by the number of
//        threads nor by who is first.
//   RA-2 At most kBatches are in memory: the one that the consumer holds and those ahead of it.
//        When they are full, the threads sleep.
//   RA-3 next() and the threads' bookkeeping allocate nothing.
//   RA-4 Destruction waits for the images that are being decoded, and for nothing else.
// Threading: next() and restart() belong to the consumer's thread; the plan is called by any of
// the threads, by one at a time.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

#include "paceline/compute/device.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/layers/input/image_reader_internal.h"

namespace paceline {

class ReadAhead {
 public:
  struct Draw {
    std::uint32_t image = 0;
    std::uint64_t stream = 0;  ///< seeds all that is random about it
  };
  /// Fills in the next batch. @return how many images it has; 0: none, which next() hands on
  using Plan = std::function<std::size_t(std::span<Draw>)>;
  /// What becomes of a file that cannot be read. Either way it is logged.
  enum class Unreadable : std::uint8_t {
    replace,   ///< another image of the set, drawn from the draw's stream, takes its place
    leave_out  ///< the batch is smaller
  };
  struct Options {
    Shape image;
    std::size_t batch = 0;
    unsigned threads = 1;
    ImageReader::Crop crop = ImageReader::Crop::centre;
    Unreadable unreadable = Unreadable::replace;
  };

  /// @param data  whose statistics normalise; not kept. @param set  of files; outlives this
  ReadAhead(const Data& data, const Dataset& set, const Options& options, Plan plan);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// The plan's next batch; the views stay valid until the next call.
  const Batch& next();
  /// Throws away what was read ahead. @param reposition  of the plan, while nobody calls it
  void restart(const std::function<void()>& reposition);

 private:
  static constexpr std::size_t kBatches = 3;
  static constexpr std::int32_t kLeftOut = -1;

  struct Slot {
    std::vector<Draw> draws;           ///< [batch]
    std::vector<float> images;         ///< [batch,H,W,C]
    std::vector<std::int32_t> labels;  ///< [batch]
    std::size_t count = 0;             ///< images planned
    std::size_t taken = 0, done = 0;   ///< of them
  };

  /// Until the batch that is to be handed out is whole; logs the time.
  void await_batch(std::unique_lock<std::mutex>& lock);
  void read(const std::stop_token& stop, ImageReader& reader);
  void fill(ImageReader& reader, const Draw& draw, float* out, std::int32_t& label);
  void unreadable(std::size_t image, const Error& error);
  Slot& slot(std::uint64_t batch) { return slots_[batch % kBatches]; }
  /// Of the batch that was planned last, not all images are taken.
  bool untaken() {
    return planned_ > released_ && slot(planned_ - 1).taken < slot(planned_ - 1).count;
  }
  /// Removes what was left out. @return how many images remain
  std::size_t compact(Slot& slot) const;

  const Dataset& set_;
  const Options options_;
  const Plan plan_;
  const std::size_t floats_;  ///< of an image
  Batch batch_;               ///< what the consumer holds
  bool holding_ = false;

  std::mutex mutex_;  // guards what follows, but for the images and labels of what is taken
  std::condition_variable_any work_;
  std::condition_variable ready_;
  std::array<Slot, kBatches> slots_;
  std::uint64_t planned_ = 0, released_ = 0;  ///< batches, ever
  std::size_t decoding_ = 0;                  ///< images
  bool paused_ = false;

  std::vector<std::jthread> threads_;  // ends first
};

}  // namespace paceline
