// The slots of a run: one arena a group, which holds the slots of the group's roles and a few
// copies of slots that lie elsewhere. A leader of another group is copied once into the own arena
// and pinned there by everyone. Threading: pin(), newest() and slot() from any thread; fetch() for
// one group from one thread (its courier).
//   GA-1 A pin is always of the own group's arena.
//   GA-2 A copy carries the version of what it copies. Two copies are kept for each size; the one
//        used longest ago is written over, never one that is pinned.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "paceline/actors/protocol.h"
#include "paceline/actors/role_host.h"
#include "paceline/layers/network.h"
#include "paceline/net/arena.h"

namespace paceline {

class GroupArenas {
 public:
  /// Creates every group's arena; what does not fit fails here. Slots of parameters have room for
  /// the buffers behind them, other slots have not.
  static Result<GroupArenas> create(const Protocol& protocol, const VectorMath& math,
                                    const Layout& layout, const Place& place);

  Slot slot(SlotRef ref) const;
  std::uint64_t newest(SlotRef ref) const { return slot(ref).version(); }
  /// Pins a slot for a member of `group`: in place when it lies there, else the group's copy. Empty
  /// when the group holds nothing of it that is at least that version (kNewest counts as 0 here).
  Pin pin(std::uint32_t group, SlotRef ref, std::uint64_t at_least) const;
  /// Brings the newest version of a slot of another group into `group`'s arena. One pass over the
  /// slot.
  /// @return false when nothing was published yet, or readers hold every copy
  bool fetch(std::uint32_t group, SlotRef ref);
  bool local(std::uint32_t group, SlotRef ref) const { return place_.group(ref.owner) == group; }

 private:
  struct Copy {
    SlotRef source;
    Slot slot;
    std::uint64_t used = 0;
  };
  struct Group {
    std::unique_ptr<Arena> arena;
    std::vector<Copy> copies;
    std::uint64_t uses = 0;
    std::unique_ptr<std::mutex> mutex = std::make_unique<std::mutex>();  // guards copies and uses
  };
  Place place_;
  std::vector<std::size_t> first_slot_;  // by role, in its group's arena
  mutable std::vector<Group> groups_;
};

}  // namespace paceline
