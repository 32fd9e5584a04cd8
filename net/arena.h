// A node's shared memory: slots and the words that guard them, in one segment that processes attach
// to by name. Threading: create, attach and destroy from one thread; everything behind slot() may
// be used from any thread of any attached process.
//   AR-1 All memory is reserved when the arena is created: what does not fit fails there, and never
//   later by SIGBUS. AR-2 Readable and writable by its owner's user alone. AR-3 The header holds
//   magic, layout version, byte order, the flat vector's hash, the owner's pid and start time; what
//        does not match is one clear error (SL-6).
//   AR-4 The creator removes the name when it ends; what a killed one left behind, the next
//   create() sweeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "paceline/net/slot.h"
#include "paceline/result.h"

namespace paceline {

struct SlotShape {
  std::size_t bytes = 0;  ///< of one buffer's payload
};

struct ArenaOptions {
  std::string name;               ///< what it is for: "group0"; part of the segment's name
  std::uint64_t layout_hash = 0;  ///< of the flat vector that the slots hold
  std::vector<SlotShape> slots;
  std::size_t pins = 0;    ///< pin words; 0: 16 + 8 a slot
  bool huge_pages = true;  ///< ask for them; taken when the system gives them
};

class Arena {
 public:
  /// @return an error that says what is needed and what /dev/shm has
  static Result<Arena> create(const ArenaOptions& options);
  /// @param segment  another arena's segment(); @param layout_hash  must equal the creator's
  static Result<Arena> attach(const std::string& segment, std::uint64_t layout_hash);
  /// Removes the segments of this user whose creators are gone; returns their names.
  static std::vector<std::string> sweep();

  Arena(Arena&&) noexcept;
  Arena& operator=(Arena&&) noexcept;
  ~Arena();

  const std::string& segment() const;  ///< "/paceline.<uid>.<pid>.<start>.<name>"
  std::size_t bytes() const;
  bool huge_pages() const;
  std::size_t slots() const;
  Slot slot(std::size_t index) const;  ///< a view, valid as long as the arena
  /// Clears the pins of a process that has ended; its supervisor calls this. Returns how many there
  /// were.
  std::size_t clear_pins(std::int32_t pid, std::uint64_t start_time);
};

}  // namespace paceline
