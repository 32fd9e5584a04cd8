// A node's shared memory: slots, mailboxes and a board, in one segment that processes attach to by
// name. Threading: create, attach and destroy from one thread; everything behind slot() may
// be used from any thread of any attached process.
//   AR-1 All memory is reserved when the arena is created, that of a slot for later by reserve():
//        what does not fit fails there, and never later by SIGBUS.
//   AR-2 Readable and writable by its owner's user alone.
//   AR-3 The header holds magic, byte order, layout version, the flat vector's hash, the creator's
//        pid and start time; what does not match is one clear error (SL-6).
//   AR-4 The creator removes the name when it ends; what a killed one left behind, the next
//        create() sweeps. The name of a living creator is never removed.
//   AR-5 The buffers of a slot whose shape names a BufferMemory lie there: the creator allocates them,
//        every other process borrows them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "paceline/net/buffer_memory.h"
#include "paceline/net/mailbox.h"
#include "paceline/net/process.h"
#include "paceline/net/slot.h"
#include "paceline/result.h"

namespace paceline {

struct SlotShape {
  std::size_t bytes = 0;  ///< of one buffer's payload
  bool later = false;     ///< no memory until Arena::reserve(): nobody loans it before that
  BufferMemory* memory = nullptr;  ///< where its buffers lie, outliving the arena; null: in it
};

struct MailboxShape {
  std::size_t letters = 0;  ///< capacity: a power of two, at least 2
};

struct ArenaOptions {
  std::string name;               ///< what it is for: "group0"; letters, digits, '-' and '_'
  std::uint64_t layout_hash = 0;  ///< of the flat vector that the slots hold
  std::vector<SlotShape> slots = {};
  std::size_t pins = 0;  ///< pin words a slot; 0: 64
  std::vector<MailboxShape> mailboxes = {};
  std::size_t board_bytes = 0;  ///< words of the users' own: zero at first, on a cache line
  bool huge_pages = true;       ///< ask for them; taken when the system gives them
  bool checksums = false;       ///< of what is published (SL-8): a pass over it at publish and pins
};

class Arena {
 public:
  /// Sweeps, then makes a segment of shared memory; one process may make several, under different
  /// names.
  /// @return no_space_on_device, saying what is needed and what /dev/shm has; invalid_argument
  static Result<Arena> create(const ArenaOptions& options);
  /// @param segment      another arena's segment()
  /// @param layout_hash  must equal the creator's
  /// @param buffers      borrows what lies elsewhere (AR-5), and outlives the arena; null: nothing does
  static Result<Arena> attach(const std::string& segment, std::uint64_t layout_hash,
                              BufferMemory* buffers = nullptr);
  /// The same layout in this process's private memory, under no name and of small pages: for many
  /// slots in one process. Memory is taken as it is first written.
  static Result<Arena> local(const ArenaOptions& options);
  /// Removes the segments of this user whose creators are gone; returns their names.
  static std::vector<std::string> sweep();

  Arena(Arena&&) noexcept;
  Arena& operator=(Arena&&) noexcept;
  ~Arena();

  /// "/paceline.<uid>.<pid>.<start>.<name>" of the creator; empty for a local one.
  const std::string& segment() const;
  /// Who made a segment of this name; nothing when it is no such name.
  static std::optional<ProcessIdentity> creator(const std::string& segment);
  std::size_t bytes() const;
  bool huge_pages() const;  ///< whether the system gave any
  std::size_t slots() const;
  Slot slot(std::size_t index) const;  ///< a view, valid as long as the arena
  /// Takes the memory of a slot for later, and opens it; where that has been done, opens it alone.
  /// @return no_space_on_device, saying what is needed and what there is
  /// @pre of buffers elsewhere: this is the creator
  Result<> reserve(std::size_t index);
  bool is_reserved(std::size_t index) const;  ///< whether the slot has memory, in whatever process
  /// Gets this process the buffers of a slot for later that another one has reserved: views made
  /// before that pin nothing. One call for a slot at a time; of a slot that is open nothing happens.
  Result<> open(std::size_t index) const;
  /// What lies in the arena and has memory from the beginning.
  std::span<std::byte> memory_at_first() const;
  /// The buffers of a slot for later that lie in the arena: whole pages.
  std::span<std::byte> memory_for_later(std::size_t index) const;
  std::size_t mailboxes() const;
  Mailbox mailbox(std::size_t index) const;  ///< a view, valid as long as the arena
  std::span<std::byte> board() const;        ///< [board_bytes], valid as long as the arena
  /// Clears the pins of a process that has ended; its supervisor calls this. Returns how many there
  /// were.
  /// @pre the process has ended: what it pinned may be overwritten from now on
  std::size_t clear_pins(const ProcessIdentity& process);
  std::size_t clear_pins(std::int32_t pid, std::uint64_t start_time) {
    return clear_pins(ProcessIdentity{pid, start_time});
  }
  /// Gives up what a sender that has ended was writing, in all mailboxes, and has their receivers
  /// look again; its supervisor calls this. Returns how many letters there were.
  /// @pre the process has ended, and no other one bears its number yet
  std::size_t clear_claims(SenderId sender);

 private:
  struct Mapping;
  explicit Arena(std::unique_ptr<Mapping> mapping);

  std::unique_ptr<Mapping> mapping_;
};

}  // namespace paceline
