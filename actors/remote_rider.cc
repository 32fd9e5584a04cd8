#include "paceline/actors/remote_rider.h"

namespace paceline {

void RemoteRider::close() {
  bool all = false;
  do {
    all = out_.flush();
    for (Letter letter; mailbox_.take(letter);) {
    }
  } while (!all);
}

}  // namespace paceline
