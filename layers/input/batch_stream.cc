#include "paceline/layers/input/batch_stream.h"

#include <algorithm>
#include <utility>

#include "paceline/layers/input/read_ahead_internal.h"

namespace paceline {
namespace {

constexpr std::uint64_t kAugmentation = 0x4155474dull;  // what a seed is used for

Cut cut_of(const Window& window) {
  return {.top = static_cast<std::int32_t>(window.top),
          .left = static_cast<std::int32_t>(window.left),
          .flip = window.mirrored ? 1 : 0};
}

}  // namespace

BatchStream::BatchStream(const Data& data, const StreamOptions& options)
    : set_(data.train),
      augment_(options.augment),
      flip_(data.flip),
      padding_(static_cast<std::ptrdiff_t>(data.padding)),
      order_(set_->size(), options.sampling, options.seed, options.worker, options.workers),
      augmentation_(options.seed ^ kAugmentation, options.worker),
      normaliser_(data, set_->image, options.image),
      gives_raw_(options.raw && !set_->files),
      images_(set_->files || gives_raw_ ? 0 : options.batch * normaliser_.to().count()),
      bytes_(gives_raw_ ? options.batch * set_->image.count() : 0),
      cuts_(gives_raw_ ? options.batch : 0),
      labels_(options.batch),
      raw_{.images = bytes_,
           .stored = set_->image,
           .cuts = cuts_,
           .scale = normaliser_.scale(),
           .shift = normaliser_.shift()},
      batch_{.images = images_, .labels = labels_, .raw = gives_raw_ ? &raw_ : nullptr} {
  PACELINE_CHECK(options.batch > 0, "an empty batch");
  PACELINE_CHECK(
      options.image.height <= set_->image.height && options.image.width <= set_->image.width,
      "crops of {}x{} out of {}x{}", options.image.height, options.image.width, set_->image.height,
      set_->image.width);
  if (!set_->files) return;
  // An image's crop depends on seed, worker, epoch and image, whichever thread draws it, and when.
  const std::uint64_t seed = augmentation_.next();
  const auto plan = [this, seed](std::span<ReadAhead::Draw> draws) {
    for (ReadAhead::Draw& draw : draws) {
      const SampleOrder::Sample sample = order_.next();
      draw = {sample.image, Rng(Rng(seed, sample.epoch).next(), sample.image).next()};
    }
    return draws.size();
  };
  using Crop = ImageReader::Crop;
  files_ =
      std::make_unique<ReadAhead>(data, *set_,
                                  ReadAhead::Options{.image = normaliser_.to(),
                                                     .batch = options.batch,
                                                     .threads = options.decode_threads,
                                                     .crop = !augment_ ? Crop::centre
                                                             : flip_   ? Crop::random_mirrored
                                                                       : Crop::random,
                                                     .unreadable = ReadAhead::Unreadable::replace},
                                  plan);
}

BatchStream::~BatchStream() = default;

const Batch& BatchStream::next() {
  drawn_ += labels_.size();
  if (files_) return files_->next();
  cut_batch();
  return batch_;
}

void BatchStream::cut_batch() {
  const std::size_t from = set_->image.count(), to = normaliser_.to().count();
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    const std::size_t image = order_.next().image;
    const Window window = augment_ ? random_window() : normaliser_.centre();
    const std::uint8_t* const pixels = &set_->pixels[image * from];
    if (gives_raw_) {
      std::copy_n(pixels, from, &bytes_[i * from]);
      cuts_[i] = cut_of(window);
    } else {
      normaliser_.cut(pixels, window, &images_[i * to]);
    }
    labels_[i] = set_->labels[image];
  }
}

StreamState BatchStream::state() const {
  // An epoch ends when the first image of the next is drawn.
  const std::uint64_t epoch = drawn_ == 0 ? 0 : (drawn_ - 1) / images_per_epoch();
  return {.epoch = epoch,
          .position = drawn_ - epoch * images_per_epoch(),
          .rng = augmentation_.state()};
}

void BatchStream::restore(const StreamState& state) {
  const auto seek = [&] { order_.seek(state.epoch, state.position); };
  files_ ? files_->restart(seek) : seek();
  drawn_ = state.epoch * images_per_epoch() + state.position;
  augmentation_.restore(state.rng);
}

Window BatchStream::random_window() {
  const auto offset = [this](std::size_t whole, std::size_t part) {
    const std::ptrdiff_t padding = whole == part ? padding_ : 0;
    const auto room = static_cast<std::ptrdiff_t>(whole - part) + 2 * padding;
    return static_cast<std::ptrdiff_t>(augmentation_.below(static_cast<std::uint64_t>(room) + 1)) -
           padding;
  };
  Window window;
  window.top = offset(set_->image.height, normaliser_.to().height);
  window.left = offset(set_->image.width, normaliser_.to().width);
  // Drawn even if not used, so that flipping changes nothing else.
  window.mirrored = augmentation_.below(2) == 1 && flip_;
  return window;
}

TestStream::TestStream(const Data& data, const Dataset& set, Shape image, std::size_t batch,
                       unsigned decode_threads, bool raw)
    : set_(set),
      normaliser_(data, set.image, image),
      gives_raw_(raw && !set.files),
      images_(set.files || gives_raw_ ? 0 : batch * normaliser_.to().count()),
      cuts_(gives_raw_ ? batch : 0, cut_of(normaliser_.centre())),
      labels_(batch),
      raw_{.images = {},
           .stored = set.image,
           .cuts = {},
           .scale = normaliser_.scale(),
           .shift = normaliser_.shift()} {
  PACELINE_CHECK(batch > 0, "an empty batch");
  if (!set.files) return;
  const auto plan = [this](std::span<ReadAhead::Draw> draws) {
    const std::size_t count = std::min(draws.size(), set_.size() - position_);
    for (ReadAhead::Draw& draw : draws.first(count)) {
      draw = {.image = static_cast<std::uint32_t>(position_++)};
    }
    if (count == 0) position_ = 0;  // the set again, for who rewinds at its end
    return count;
  };
  files_ = std::make_unique<ReadAhead>(
      data, set,
      ReadAhead::Options{.image = normaliser_.to(),
                         .batch = batch,
                         .threads = decode_threads,
                         .crop = ImageReader::Crop::centre,
                         .unreadable = ReadAhead::Unreadable::leave_out},
      plan);
}

TestStream::~TestStream() = default;

const Batch& TestStream::next() {
  if (files_) {
    if (at_ == At::end) return batch_;
    batch_ = files_->next();
    at_ = batch_.labels.empty() ? At::end : At::middle;
    return batch_;
  }
  const std::size_t count = std::min(labels_.size(), set_.size() - position_);
  const std::size_t from = set_.image.count(), to = normaliser_.to().count();
  std::copy_n(set_.labels.begin() + static_cast<std::ptrdiff_t>(position_), count, labels_.begin());
  batch_ = {.images = {}, .labels = std::span(labels_).first(count)};
  if (gives_raw_) {
    raw_.images = std::span(set_.pixels).subspan(position_ * from, count * from);
    raw_.cuts = std::span(cuts_).first(count);
    batch_.raw = &raw_;
  } else {
    for (std::size_t i = 0; i < count; ++i)
      normaliser_.cut(&set_.pixels[(position_ + i) * from], normaliser_.centre(), &images_[i * to]);
    batch_.images = std::span(images_).first(count * to);
  }
  position_ += count;
  return batch_;
}

void TestStream::rewind() {
  if (!files_) {
    position_ = 0;
  } else if (at_ == At::middle) {  // at the end the threads have begun again by themselves
    files_->restart([this] { position_ = 0; });
  }
  at_ = At::start;
}

}  // namespace paceline
