// The slots of a run: one arena a group, which holds the slots of the group's roles and a few
// copies of slots that lie elsewhere. A leader of another group is copied once into the own arena
// and pinned there by everyone. Threading: pin(), newest() and slot() from any thread of any
// attached process; fetch() for one group from one thread (its courier).
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
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "paceline/actors/device_buffers.h"
#include "paceline/actors/mapped_memory.h"
#include "paceline/actors/protocol.h"
#include "paceline/actors/role_host.h"
#include "paceline/layers/network.h"
#include "paceline/net/arena.h"

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
  static Result<GroupArenas> create(const Protocol& protocol, const VectorMath& math,
                                    const Layout& layout, const Place& place,
                                    const std::string& name, StateBytes state = {},
                                    bool checksums = false, SlotDevice device = {});
  /// Attaches to those that another process has created.
  /// @param segments  its segments()
  static Result<GroupArenas> attach(const Protocol& protocol, const VectorMath& math,
                                    const Layout& layout, const Place& place,
                                    std::span<const std::string> segments, StateBytes state = {},
                                    SlotDevice device = {});
  /// By group.
  std::vector<std::string> segments() const;

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
  /// slot.
  /// @return false when nothing was published yet, or readers hold every copy
  bool fetch(std::uint32_t group, SlotRef ref);
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
    std::span<CopyWords> copies() const;
  };
  struct Plan;
  GroupArenas(const Place& place, const VectorMath& math, SlotDevice device, Plan plan,
              std::vector<Group> groups);
  static Plan plan(const Protocol& protocol, const VectorMath& math, const Layout& layout,
                   const Place& place, StateBytes state, SlotDevice device);
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
  std::vector<Group> groups_;
};

}  // namespace paceline
