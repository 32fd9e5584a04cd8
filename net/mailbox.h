// A bounded queue of small messages in shared memory: many senders in many processes, one receiver.
// The words live in an Arena; a Mailbox is a view of them, copied freely. Threading: send(), wake()
// and the figures from any thread of any attached process; take() and wait() from one thread at a
// time, the receiver's; clear_claims() from the supervisor's.
//   MB-1 What one thread sends comes in the order sent; nothing comes twice, nothing half-written.
//   MB-2 What does not fit is refused at the sender: nobody waits for room.
//   MB-3 A sender that dies while it sends leaves a claimed place, or a receiver asleep; its
//        supervisor clears that for every sender that ends. Until then the receiver may wait there,
//        while others go on sending.
//   MB-4 A receiver that looks often costs nobody a system call; one that sleeps is woken at once.
//   MB-5 A receiver that dies loses at most the letter in its hands: another process that attaches
//        goes on where it was, and may be given that letter once more.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace paceline {

/// Who sends, numbered by whoever made the arena: the node process is 0, the worker in seat r is
/// 1 + r. One living process a number.
using SenderId = std::uint32_t;
inline constexpr SenderId kMostSenders = 1U << 14;

/// A message as it lies in a mailbox. Mailboxes look at none of it.
struct Letter {
  std::uint32_t to = 0, from = 0;  ///< whom in the process, and who: the users' own numbers
  std::uint16_t kind = 0;          ///< of the payload; the users' own
  std::uint16_t bytes = 0;         ///< of the payload
  std::uint32_t part = 0;          ///< of what takes several letters; the users' own
  alignas(8) std::byte payload[176] = {};
};
static_assert(std::is_trivially_copyable_v<Letter> && sizeof(Letter) == 192);

struct MailboxWords;  // mailbox_internal.h

/// A view of one mailbox, valid as long as its Arena lives, wherever that is moved to. A default one
/// views nothing and may only be assigned to.
class Mailbox {
 public:
  Mailbox() = default;

  /// @return false when the mailbox is full: nothing was sent
  /// @pre sender < kMostSenders
  bool send(SenderId sender, const Letter& letter) const;

  /// The oldest letter, if its sender has finished it. @return false, `letter` as it was, else
  bool take(Letter& letter) const;
  /// The same; waits for one, first awake for a few microseconds (where there is more than one
  /// core), then asleep.
  /// @return false when none came `within`, or wake() was called
  bool wait(Letter& letter, std::chrono::nanoseconds within) const;
  /// Calls the receiver away with nothing: the wait() that it is in, or else its next one, returns
  /// false at once, unless there is a letter to return.
  void wake() const;

  /// Gives up what a process that has ended was writing, and has the receiver look again; its
  /// supervisor calls this, whatever that process did last. @return how many places there were
  /// @pre the process has ended, and no other one bears its number yet
  std::size_t clear_claims(SenderId sender) const;

  std::size_t capacity() const;  ///< letters
  /// Sends that were refused so far because the mailbox was full.
  std::uint64_t refused() const;

 private:
  friend class Arena;
  explicit Mailbox(MailboxWords* words) : words_(words) {}

  MailboxWords* words_ = nullptr;
};

}  // namespace paceline
