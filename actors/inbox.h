// A role's inbox: first in, first out among what is wanted; the rest stays. Threading: none of its
// own; whoever shares it guards it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "paceline/actors/packet.h"

namespace paceline {

class Inbox {
 public:
  void push(const Packet& packet) {
    if (packets_.size() == packets_.capacity() && first_ > size()) drop_taken();
    packets_.push_back(packet);
  }
  /// Takes the oldest wanted packet; drops what it meets that is wanted but late.
  bool take(const Wanted& wanted, Packet& out) {
    for (std::size_t at = first_; at < packets_.size(); ++at) {
      const bool admitted = wanted.admits(packets_[at]);
      if (!admitted && !wanted.late(packets_[at])) continue;
      if (admitted) out = packets_[at];
      remove(at);
      if (admitted) return true;
      ++late_;
    }
    return false;
  }
  std::size_t size() const { return packets_.size() - first_; }
  std::uint64_t late() const { return late_; }  ///< packets dropped so far

 private:
  /// Those before it, which nobody wants now and which are few, move up.
  void remove(std::size_t at) {
    const auto begin = packets_.begin();
    std::move_backward(begin + static_cast<std::ptrdiff_t>(first_),
                       begin + static_cast<std::ptrdiff_t>(at),
                       begin + static_cast<std::ptrdiff_t>(at + 1));
    if (++first_ < packets_.size()) return;
    packets_.clear();
    first_ = 0;
  }
  void drop_taken() {
    packets_.erase(packets_.begin(), packets_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }

  std::vector<Packet> packets_;  // no memory before the first
  std::size_t first_ = 0;        // what was taken lies before it
  std::uint64_t late_ = 0;
};

}  // namespace paceline
