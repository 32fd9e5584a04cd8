#include "paceline/actors/remote_rider.h"

namespace paceline {

Inbox RemoteRider::close() {
  Inbox left;
  bool all = false;
  do {
    all = out_.flush();
    for (Letter letter; mailbox_.take(letter);)
      if (static_cast<LetterKind>(letter.kind) == LetterKind::packet)
        left.push(body<Packet>(letter));
  } while (!all);
  return left;
}

}  // namespace paceline
