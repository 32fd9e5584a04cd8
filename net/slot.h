// A versioned, published parameter block: one writer, many readers in many processes, nobody ever
// waits. The words live in an Arena; a Slot is a view of them, copied freely. Threading: loan() and
// publish from one thread at a time (the slot's writer); pin() from any.
//   SL-1 Three buffers. Versions grow by one with each publish; a buffer carries the version it
//   holds. SL-2 loan() gives a buffer that is neither the newest nor pinned, or none: writers never
//   wait. SL-3 A pin is one word (slot, buffer, owner's pid and start time), never a shared count;
//   a dead owner's words are
//        cleared by its supervisor.
//   SL-4 A half-written buffer is never visible: dying between loan and publish leaves the newest
//   version as it was. SL-7 What was last published outlives its writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace paceline {

class Slot;

/// Keeps one version in place and unchanged while it lives. Move-only. Empty when nothing was
/// published yet, or when all pin words are taken.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&&) noexcept;
  Pin& operator=(Pin&&) noexcept;
  ~Pin();
  explicit operator bool() const;
  std::uint64_t version() const;
  std::span<const std::byte> bytes() const;
};

/// A buffer on loan to the writer; goes back unpublished when it goes out of scope. Move-only.
class Loan {
 public:
  Loan(Loan&&) noexcept;
  ~Loan();
  std::span<std::byte> bytes() const;
  /// Hands the buffer back as the newest version. @return that version
  std::uint64_t publish() &&;
  /// The same under a version of the caller's, which must be larger than the newest: for copies of
  /// another slot.
  std::uint64_t publish_as(std::uint64_t version) &&;
};

class Slot {
 public:
  std::size_t bytes() const;      ///< of one buffer
  std::uint64_t version() const;  ///< the newest; 0: nothing published yet
  std::uint64_t busy() const;     ///< loans refused so far because readers held every other buffer
  std::optional<Loan> loan();
  Pin pin() const;
};

/// Copies into a loaned buffer at memory speed (streaming stores where the block is larger than the
/// cache).
void copy_block(std::span<std::byte> to, std::span<const std::byte> from);

}  // namespace paceline
