// The constants of a protocol whose result is a moving average of its path.
#pragma once

#include "paceline/actors/protocol.h"

namespace paceline {

/// @param Base  what the protocol has without the average
template <class Base>
struct MovingAverageHyper : Base {
  double average_rate = 0.001;  ///< as in Zhang, Choromanska, LeCun 2015

  template <class F>
  void each(F f) {
    f("tau", this->tau), f("average_rate", average_rate);
  }
  Result<> validate(const Place& place) const {
    if (!(average_rate >= 0 && average_rate <= 1))
      return fail(std::errc::invalid_argument, "average_rate is {}: give 0 to 1", average_rate);
    return Base::validate(place);
  }
};

}  // namespace paceline
