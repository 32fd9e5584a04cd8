#include "paceline/layers/input/sample_order.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "paceline/result.h"

namespace paceline {
namespace {

// What a seed is used for; each use has streams of its own.
constexpr std::uint64_t kShards = 0x5348415244ull, kOrder = 0x4f52444552ull;

/// Fisher and Yates.
void shuffle_in_place(std::vector<std::uint32_t>& order, Rng rng) {
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
}

std::vector<std::uint32_t> images_of(std::size_t images, Sampling sampling, std::uint64_t seed,
                                     std::uint32_t worker, std::uint32_t workers) {
  PACELINE_CHECK(images > 0 && images <= std::numeric_limits<std::uint32_t>::max(),
                 "a stream over {} images", images);
  PACELINE_CHECK(worker < workers, "worker {} of {}", worker, workers);
  std::vector<std::uint32_t> all(images);
  std::iota(all.begin(), all.end(), 0U);
  if (sampling == Sampling::shuffled) return all;
  shuffle_in_place(all, Rng(seed, kShards));
  std::vector<std::uint32_t> shard;
  for (std::size_t i = worker % all.size(); i < all.size(); i += workers) shard.push_back(all[i]);
  return shard;
}

}  // namespace

SampleOrder::SampleOrder(std::size_t images, Sampling sampling, std::uint64_t seed,
                         std::uint32_t worker, std::uint32_t workers)
    : order_seed_(Rng(seed ^ kOrder, worker).next()),
      shard_(images_of(images, sampling, seed, worker, workers)),
      order_(shard_) {
  shuffle();
}

SampleOrder::Sample SampleOrder::next() {
  if (position_ == order_.size()) {
    ++epoch_;
    position_ = 0;
    shuffle();
  }
  return {.image = order_[position_++], .epoch = epoch_};
}

void SampleOrder::seek(std::uint64_t epoch, std::uint64_t position) {
  PACELINE_CHECK(position <= order_.size(), "position {} of {} images", position, order_.size());
  epoch_ = epoch;
  position_ = position;
  shuffle();
}

void SampleOrder::shuffle() {
  std::ranges::copy(shard_, order_.begin());
  shuffle_in_place(order_, Rng(order_seed_, epoch_));
}

}  // namespace paceline
