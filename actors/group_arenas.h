// The slots of a run: one arena a group, which holds the slots of the group's roles and a few
// copies of slots that lie elsewhere. A leader of another group is copied once into the own arena
// and pinned there by everyone. Threading: pin(), newest() and slot() from any thread of any
// attached process; fetch() for one group from one thread (its courier); read() from one thread.
//   GA-1 A pin is always of the own group's arena.
//   GA-2 A copy carries the version of what it copies. Two copies are kept for each size; the one
//        used longest ago is written over, never one that is pinned.
//   GA-3 What is a copy of what stands on the arena's board. A pin that was taken while that did not
//        change is of what it says.
//   GA-4 Whatever a device computes from lies where it can reach it: each maps the arenas' memory, that
//        of a seat that begins empty once there is some, in each process. What it cannot map, or this
//        process not borrow, is said once, and nothing is pinned there.
//   GA-5 Slots of whole vectors lie in the device's memory where they are asked to, with the worker whose
//        they are; codes and states lie in the arena.
//   GA-6 Where groups are processes of their own, a process holds its own group's arena alone, whose one
//        mailbox is for letters of the others. Slots of other groups are read over the fabric, into the
//        copies by fetch(), beside them by read().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "paceline/actors/device_buffers.h"
#include "paceline/actors/mapped_memory.h"
#include "paceline/actors/protocol.h"
#include "paceline/actors/role_host.h"
#include "paceline/layers/network.h"
#include "paceline/net/arena.h"
#include "paceline/net/fabric.h"

namespace paceline {

/// Of the slots for what roles are made of (actors/role_state.h); 0: none.
struct StateBytes {
  std::size_t worker = 0, centre = 0;
};

/// What computes from the slots.
struct SlotDevice {
  Device* device = nullptr;    ///< outlives the arenas; null: reads host memory wherever it is
  bool holds_vectors = false;  ///< slots of whole vectors lie in its memory
  std::vector<Device*> more = {};  ///< others that compute from host memory; outlive the arenas
};

/// Brings what is newest in a slot of another process's group into a loan, and waits for it.
/// @param slot  in that group's arena
/// @param for_group  it becomes the group's copy; else it is for one reader alone
using RemoteRead =
    std::function<Result<Arrival>(SlotRef ref, std::uint32_t slot, Loan loan, bool for_group)>;

/// A slot in which checksums have found something.
struct DamagedSlot {
  Address owner;     ///< none of a copy, which is its group's
  std::string what;  ///< for people: "worker 2's parameters"
  SlotDamage damage;
};

class GroupArenas {
 public:
  /// Creates every group's arena, "NAME-group0" and so on; what does not fit fails here. Slots of
  /// parameters have room for the buffers behind them, other slots have not. Seats that begin empty
  /// take no memory before reserve().
  /// @param math       outlives the arenas
  /// @param checksums  of all that is published (SL-8); not with slots in a device's memory
  /// @param only  the one group that is here (GA-6), not with slots in a device's memory; else all are
  static Result<GroupArenas> create(const Protocol& protocol, const VectorMath& math,
                                    const Layout& layout, const Place& place,
                                    const std::string& name, StateBytes state = {},
                                    bool checksums = false, SlotDevice device = {},
                                    std::optional<std::uint32_t> only = {});
  /// Attaches to those that another process has created.
  /// @param segments  its segments()
  static Result<GroupArenas> attach(const Protocol& protocol, const VectorMath& math,
                                    const Layout& layout, const Place& place,
                                    std::span<const std::string> segments, StateBytes state = {},
                                    SlotDevice device = {}, std::optional<std::uint32_t> only = {});
  /// By group; empty of one that is not here.
  std::vector<std::string> segments() const;
  /// How slots that are not here are read; before anyone does.
  void reach(RemoteRead read) { remote_ = std::move(read); }
  /// Of a group that is here: what a fabric hosts.
  Arena& arena(std::uint32_t group) { return groups_[group]->arena; }
  bool here(Address owner) const { return groups_[place_.group(owner)] != nullptr; }

  /// Takes the memory of a seat that begins empty: before anyone sits there.
  /// @return no_space_on_device, saying what is needed and what there is
  Result<> reserve(Address seat);

  Slot slot(SlotRef ref) const;
  /// Where a worker or centre puts its state, if there is such a slot.
  Slot state_slot(Address owner) const;
  std::uint64_t newest(SlotRef ref) const { return slot(ref).version(); }
  /// Pins a slot for a member of `group`: in place when it lies there, else the group's copy. Empty
  /// when the group holds nothing of it that is at least that version (kNewest counts as 0 here).
  Pin pin(std::uint32_t group, SlotRef ref, std::uint64_t at_least) const;
  /// Brings the newest version of a slot of another group into `group`'s arena. One pass over the
  /// slot, or one read over the fabric.
  /// @param at_least  over a fabric: nothing is read where the group holds this version already
  /// @return false when nothing was published yet, readers hold every copy, or it cannot be reached
  bool fetch(std::uint32_t group, SlotRef ref, std::uint64_t at_least = kNewest);
  /// Pins the newest parameters of a role, for the run itself: in place when they are here, else after a
  /// read into memory for that alone.
  /// @return no_message_available before the first publish; resource_unavailable_try_again; what the
  /// fabric says
  Result<Pin> read(SlotRef ref);
  bool local(std::uint32_t group, SlotRef ref) const { return place_.group(ref.owner) == group; }

  /// Clears what a process that has ended had pinned, in every group. @return how many pins
  std::size_t clear_pins(const ProcessIdentity& process);
  /// Where checksums have found that somebody wrote into what was published.
  std::vector<DamagedSlot> damaged() const;

 private:
  struct CopyWords;
  struct Later;
  struct Group {
    Arena arena;
    std::size_t first_copy;          // slots before it are the roles'
    std::vector<DamagedSlot> named;  // every slot, undamaged
    std::vector<MappedMemory> mapped = {};
    std::shared_ptr<Later> later = {};
    std::size_t copy_count = 0;
    std::span<CopyWords> copies() const;
  };
  using Groups = std::vector<std::unique_ptr<Group>>;  // null: not here
  struct Plan;
  GroupArenas(const Place& place, const VectorMath& math, SlotDevice device, Plan plan,
              Groups groups);
  static Plan plan(const Protocol& protocol, const VectorMath& math, const Layout& layout,
                   const Place& place, StateBytes state, SlotDevice device,
                   std::optional<std::uint32_t> only);
  bool fetch_remote(const Group& own, SlotRef ref, std::uint64_t at_least);
  std::size_t choose_copy(const Group& own, SlotRef ref, std::size_t bytes, bool elsewhere) const;
  Result<> map();
  Result<> map(std::span<std::byte> memory, std::vector<MappedMemory>& to) const;
  Result<> map_later(const Group& group, std::size_t index) const;
  void open(const Group& group, std::size_t index) const;
  void carry(std::span<std::byte> to, const Pin& from, bool elsewhere) const;

  Place place_;
  const VectorMath* math_;
  SlotDevice device_;
  std::vector<std::unique_ptr<DeviceBuffers>> buffers_;           // by seat, then who borrows
  std::vector<std::size_t> first_slot_, state_slot_, slots_end_;  // by role, in its group's arena
  std::vector<std::vector<std::size_t>> bytes_;                   // of slots, by group
  Groups groups_;
  RemoteRead remote_;
};

}  // namespace paceline
