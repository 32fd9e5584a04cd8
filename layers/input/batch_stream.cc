#include "paceline/layers/input/batch_stream.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace paceline {
namespace {

// What a seed is used for; each use has streams of its own.
constexpr std::uint64_t kShards = 0x5348415244ull, kOrder = 0x4f52444552ull,
                        kAugmentation = 0x4155474dull;

/// Fisher and Yates.
void shuffle_in_place(std::vector<std::uint32_t>& order, Rng rng) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
}

std::vector<std::uint32_t> images_of(const Dataset& set, const StreamOptions& options) {
  PACELINE_CHECK(set.size() > 0 && set.size() <= std::numeric_limits<std::uint32_t>::max(),
                 "a stream over {} images", set.size());
  PACELINE_CHECK(options.batch > 0 && options.worker < options.workers, "batch {}, worker {} of {}",
                 options.batch, options.worker, options.workers);
  std::vector<std::uint32_t> all(set.size());
  std::iota(all.begin(), all.end(), 0U);
  if (options.sampling == Sampling::shuffled) return all;
  shuffle_in_place(all, Rng(options.seed, kShards));
  std::vector<std::uint32_t> shard;
  for (std::size_t i = options.worker % all.size(); i < all.size(); i += options.workers) {
    shard.push_back(all[i]);
  }
  return shard;
}

}  // namespace

BatchStream::BatchStream(const Data& data, const StreamOptions& options)
    : set_(data.train),
      augment_(options.augment),
      flip_(data.flip),
      padding_(static_cast<std::ptrdiff_t>(data.padding)),
      order_seed_(Rng(options.seed ^ kOrder, options.worker).next()),
      shard_(images_of(*set_, options)),
      order_(shard_),
      augmentation_(options.seed ^ kAugmentation, options.worker),
      normaliser_(data, set_->image, options.image),
      images_(options.batch * normaliser_.to().count()),
      labels_(options.batch),
      batch_{.images = images_, .labels = labels_} {
  PACELINE_CHECK(
      options.image.height <= set_->image.height && options.image.width <= set_->image.width,
      "crops of {}x{} out of {}x{}", options.image.height, options.image.width, set_->image.height,
      set_->image.width);
  shuffle();
}

const Batch& BatchStream::next() {
  const std::size_t from = set_->image.count(), to = normaliser_.to().count();
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    if (position_ == order_.size()) {
      ++epoch_;
      position_ = 0;
      shuffle();
    }
    const std::size_t image = order_[position_++];
    const Window window = augment_ ? random_window() : normaliser_.centre();
    normaliser_.cut(&set_->pixels[image * from], window, &images_[i * to]);
    labels_[i] = set_->labels[image];
  }
  return batch_;
}

StreamState BatchStream::state() const {
  return {.epoch = epoch_, .position = position_, .rng = augmentation_.state()};
}

void BatchStream::restore(const StreamState& state) {
  PACELINE_CHECK(state.position <= order_.size(), "position {} of {} images", state.position,
                 order_.size());
  epoch_ = state.epoch;
  position_ = state.position;
  augmentation_.restore(state.rng);
  shuffle();
}

void BatchStream::shuffle() {
  std::ranges::copy(shard_, order_.begin());
  shuffle_in_place(order_, Rng(order_seed_, epoch_));
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

TestStream::TestStream(const Data& data, const Dataset& set, Shape image, std::size_t batch)
    : set_(set),
      normaliser_(data, set.image, image),
      images_(batch * normaliser_.to().count()),
      labels_(batch) {
  PACELINE_CHECK(batch > 0, "an empty batch");
}

const Batch& TestStream::next() {
  const std::size_t count = std::min(labels_.size(), set_.size() - position_);
  const std::size_t from = set_.image.count(), to = normaliser_.to().count();
  for (std::size_t i = 0; i < count; ++i, ++position_) {
    normaliser_.cut(&set_.pixels[position_ * from], normaliser_.centre(), &images_[i * to]);
    labels_[i] = set_.labels[position_];
  }
  batch_ = {.images = std::span(images_).first(count * to),
            .labels = std::span(labels_).first(count)};
  return batch_;
}

Evaluation evaluate(Executable& executable, ConstVector x, TestStream& stream) {
  Evaluation sum;
  stream.rewind();
  for (const Batch* batch = &stream.next(); !batch->labels.empty(); batch = &stream.next()) {
    const Evaluation part = executable.evaluate(x, {}, *batch);
    sum.loss_sum += part.loss_sum;
    sum.errors += part.errors;
    sum.images += part.images;
  }
  return sum;
}

}  // namespace paceline
