// What is to happen, the earliest first, and what is of one instant in the order in which it came: a
// radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990). An entry moves a few times on its way, each time
// from one array to the end of another, where a binary heap jumps about in memory.
// Threading: one thread.
//   EQ-1 Nothing is pushed that is earlier than what was popped last.
//   EQ-2 Entries of one instant keep their order: they always lie in one bucket together, and buckets
//        are emptied from the front.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "paceline/result.h"

namespace paceline {

/// @tparam Entry  has `at`, a time of at least 0 as a 64-bit integer; trivially copyable
template <class Entry>
class EventQueue {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  bool empty() const { return filled_ == 0; }
  /// When the first entry is; kNever without any.
  std::int64_t earliest() const {
    return empty() ? kNever : buckets_[static_cast<std::size_t>(std::countr_zero(filled_))].least;
  }
  void push(const Entry& entry) {
    PACELINE_CHECK(entry.at >= last_, "an event at {} ns, and {} ns is over", entry.at, last_);
    put(entry);
  }
  /// @param soon  called with entries that come soon, and (true) with those that come next
  /// @pre !empty()
  template <class F>
  Entry pop(F soon) {
    Bucket& now = buckets_[0];
    if (!(filled_ & 1)) refill(soon);
    const Entry first = now.entries[head_++];
    const std::size_t left = now.entries.size() - head_;
    if (left > kSoon) soon(now.entries[head_ + kSoon], false);
    if (left > kNext) soon(now.entries[head_ + kNext], true);
    if (head_ == now.entries.size()) {
      now.entries.clear();
      head_ = 0;
      filled_ &= ~std::uint64_t{1};
    }
    return first;
  }

 private:
  static constexpr std::size_t kSoon = 8, kNext = 3;
  struct Bucket {
    std::vector<Entry> entries;
    std::int64_t least = 0;
  };

  /// The bucket is the highest bit in which the entry's time differs from the last one's, plus one.
  void put(const Entry& entry) {
    const auto apart = static_cast<std::uint64_t>(entry.at ^ last_);
    const auto index = static_cast<std::size_t>(64 - std::countl_zero(apart));
    Bucket& bucket = buckets_[index];
    const std::uint64_t bit = std::uint64_t{1} << index;
    if (!(filled_ & bit) || entry.at < bucket.least) bucket.least = entry.at;
    filled_ |= bit;
    bucket.entries.push_back(entry);
  }
  template <class F>
  void refill(F soon) {
    const auto index = static_cast<std::size_t>(std::countr_zero(filled_));
    Bucket& bucket = buckets_[index];
    last_ = bucket.least;
    filled_ &= ~(std::uint64_t{1} << index);
    const std::size_t count = bucket.entries.size();
    for (const Entry& entry : bucket.entries) {
      if (count <= 2 * kSoon) soon(entry, count <= kNext);
      put(entry);
    }
    bucket.entries.clear();
  }

  std::array<Bucket, 64> buckets_;
  std::uint64_t filled_ = 0;  // bit i: bucket i has entries
  std::int64_t last_ = 0;     // the time of bucket 0
  std::size_t head_ = 0;      // of bucket 0: what was popped
};

}  // namespace paceline
