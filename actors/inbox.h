// A role's inbox: first in, first out among what is wanted; the rest stays. Threading: none of its
// own; whoever shares it guards it.
#pragma once

#include <deque>

#include "paceline/actors/packet.h"

namespace paceline {

class Inbox {
 public:
  void push(const Packet& packet) { packets_.push_back(packet); }
  /// Takes the oldest wanted packet; drops what it meets that is wanted but late.
  bool take(const Wanted& wanted, Packet& out) {
    for (auto it = packets_.begin(); it != packets_.end();) {
      if (wanted.admits(*it)) {
        out = *it;
        packets_.erase(it);
        return true;
      }
      if (wanted.late(*it)) {
        it = packets_.erase(it);
        ++late_;
      } else {
        ++it;
      }
    }
    return false;
  }
  std::size_t size() const { return packets_.size(); }
  std::uint64_t late() const { return late_; }  ///< packets dropped so far

 private:
  std::deque<Packet> packets_;
  std::uint64_t late_ = 0;
};

}  // namespace paceline
