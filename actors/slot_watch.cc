#include "paceline/actors/slot_watch.h"

namespace paceline {

void SlotWatch::look() {
  if (!context_.options.slot_checksums) return;
  found_ = 0;
  for (const DamagedSlot& slot : context_.arenas->damaged()) {
    const SlotDamage& damage = slot.damage;
    found_ += damage.refused + damage.changed;
    if (!named_.insert(slot.what).second) continue;
    std::string text = fmt::format(
        "{}, version {}: the checksum does not match: somebody wrote into what was published; ",
        slot.what, damage.version);
    text += damage.changed > 0 ? "it was being read" : "it is not used";
    text +=
        " (further ones of this slot are only counted, as damaged: is another program writing "
        "to /dev/shm, or the memory failing?)";
    anonymously_tell(context_.recorder, Observation{slot.owner, context_.train_seconds(),
                                                    FaultEvent{0, std::move(text)}});
  }
}

}  // namespace paceline
