// A versioned, published parameter block: one writer, many readers in many processes, nobody ever
// waits. The words live in an Arena; a Slot is a view of them, copied freely.
// Threading: loan() and publish from one thread at a time (the slot's writer); pin() from any.
//   SL-1 Three buffers. Versions grow by one with each publish; a buffer carries the version it
//        holds.
//   SL-2 loan() gives a buffer that is neither the newest nor pinned, or none: writers never wait.
//   SL-3 A pin is one word (buffer, owner's pid and start time, in the words of its slot), never a
//        shared count; a dead owner's words are cleared by its supervisor.
//   SL-4 A half-written buffer is never visible: dying between loan and publish leaves the newest
//        version as it was.
//   SL-7 What was last published outlives its writer.
//   SL-8 In an arena with checksums a buffer carries that of what was published in it. A pin of a
//        buffer that does not match is refused; one that no longer matches when its pin goes was
//        used, and is counted as well.
//   SL-9 Buffers may lie outside the arena, in a BufferMemory: words and pins stay in the arena, and
//        each process has the bytes at an address of its own. Who has not got them pins nothing.
// A slot has one loan at a time: a second one while the first is out is a bug and aborts. A process
// that pins or loans was started by exec, not by fork alone (this_process() is read once).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace paceline {

class Slot;
struct SlotWords;  // slot_internal.h

/// What checksums have found in a slot so far; zeros in an arena without.
struct SlotDamage {
  std::uint64_t refused = 0;  ///< pins that found other bytes than were published: nobody used them
  std::uint64_t changed = 0;  ///< pins under which the bytes changed
  std::uint64_t version = 0;  ///< that it was found in last
  bool operator==(const SlotDamage&) const = default;
};

/// Keeps one version in place and unchanged while it lives. Move-only. Empty when nothing was
/// published yet, when all pin words are taken, when the checksum does not match, or when this process
/// has not got the buffers (SL-9). May outlive its Slot and a move of its Arena, not the Arena's end.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;
  ~Pin();
  explicit operator bool() const { return word_ != nullptr; }
  std::uint64_t version() const;  ///< 0 when empty
  /// At their address in this process: outside the arena (SL-9) perhaps none that it may read itself.
  std::span<const std::byte> bytes() const;       ///< no bytes when empty
  std::size_t buffer() const { return buffer_; }  ///< which of the slot's three it is

 private:
  friend class Slot;
  Pin(SlotWords* words, std::byte* buffers, std::atomic<std::uint64_t>* word, std::size_t buffer)
      : words_(words), buffers_(buffers), word_(word), buffer_(buffer) {}

  SlotWords* words_ = nullptr;
  std::byte* buffers_ = nullptr;                // in this process, the first of three
  std::atomic<std::uint64_t>* word_ = nullptr;  // the pin; ours until we write 0
  std::size_t buffer_ = 0;
};

/// A buffer on loan to the writer; goes back unpublished when it goes out of scope. Move-only.
/// Its bytes are whatever an earlier version left there. A moved-from Loan may only be destroyed
/// or assigned to.
class Loan {
 public:
  Loan(Loan&& other) noexcept;
  Loan& operator=(Loan&& other) noexcept;
  ~Loan();
  std::span<std::byte> bytes() const;
  /// Hands the buffer back as the newest version. @return that version
  std::uint64_t publish() &&;
  /// The same under a version of the caller's, which may be any but 0: for copies of other slots,
  /// which carry the versions of what they copy.
  std::uint64_t publish_as(std::uint64_t version) &&;

 private:
  friend class Slot;
  Loan(SlotWords* words, std::byte* buffers, std::size_t buffer)
      : words_(words), buffers_(buffers), buffer_(buffer) {}

  SlotWords* words_;
  std::byte* buffers_;
  std::size_t buffer_;
};

/// A view of one slot, valid as long as its Arena lives, wherever that is moved to. A default one
/// views nothing and may only be assigned to.
class Slot {
 public:
  Slot() = default;
  std::size_t bytes() const;      ///< of one buffer
  bool is_elsewhere() const;      ///< whether the buffers lie outside the arena (SL-9)
  std::uint64_t version() const;  ///< the newest; 0: nothing published yet
  std::uint64_t busy() const;     ///< loans refused so far because readers held every other buffer
  /// @return nothing, and busy() grows, when readers hold every buffer but the newest
  /// @pre this process has the buffers: of a slot for later, since Arena::reserve() or open()
  std::optional<Loan> loan() const;
  Pin pin() const;
  std::size_t pins() const;  ///< how many there are at the moment, anybody's
  SlotDamage damage() const;

  /// For readers that have no pin of their own (SL-5): the version that a buffer holds now, 0 for
  /// none or while it is being written, and its bytes, which are a version's only if that version was
  /// there before and after they were read.
  /// @pre buffer < 3
  std::uint64_t held(std::size_t buffer) const;
  std::span<const std::byte> buffer(std::size_t buffer) const;

 private:
  friend class Arena;
  Slot(SlotWords* words, std::byte* buffers) : words_(words), buffers_(buffers) {}

  SlotWords* words_ = nullptr;
  std::byte* buffers_ = nullptr;  // null: this process has not got them
};

/// Copies into a loaned buffer at memory speed.
/// @pre to.size() == from.size(), and they do not overlap
void copy_block(std::span<std::byte> to, std::span<const std::byte> from);

}  // namespace paceline
