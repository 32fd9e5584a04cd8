// How a letter travels, and why nobody's death harms it. All words are sequentially consistent: S is
// their total order. A place's state only ever moves forward, by these steps and no others:
//
//   free(t) -> claimed(t, sender) -> full(t) -> free(t+1)          t: the turn
//                     └-> dropped(t) --------------^
//
//   sender, letter n                        receiver, letter n
//   C  place n: free -> claimed  (CAS)      F  place n is full: copy the letter
//   T  tail: n -> n+1            (CAS)      G  place n := free for its next turn
//   W  write the letter                     H  head := n+1
//   P  place n := full
//   B  bell asleep? then wake
//
// Claims come in order. n is claimed only where tail was read as n and place n as free for n's turn.
// Whoever finds it already claimed, or further, does T in the owner's stead: so tail passes n only
// after n was claimed, by C of somebody, and C(n) finds tail = n: tail was n when it was read, and
// beyond n the place would not have been free. The claims are 0, 1, 2, … without gaps. A thread that
// has sent n leaves tail beyond n, so its next letter has a higher number; the receiver takes
// numbers in order (MB-1).
//
// Full is full. A place found in an earlier turn than n's holds letter n - capacity, which is not yet
// taken. Had tail moved beyond n meanwhile, C(n) had come before in S, and the place been in n's turn:
// so tail is n, and all places are in use.
//
// No ABA. A compare-and-swap succeeds only on a state, or tail, that names the turn, or number, it
// was meant for, and these never come back.
//
// Nothing half-written. P follows W, F follows P. The next sender's C reads what G wrote, after the
// copy. Two processes never write one letter: C has one winner, and a dead one's place is dropped,
// never filled.
//
// A sender that dies
//   before C            has done nothing.
//   between C and T     leaves tail behind: the next sender moves it (tail may even be behind head,
//                       when the place was dropped and passed: a place in a later turn than n's was
//                       claimed, too).
//   before P            leaves a claimed place. Others claim the places after it; the receiver stops
//                       there until clear_claims() drops it. The process had ended before: none of
//                       its stores is still to come.
//   before B ends       leaves a letter whose receiver may sleep. clear_claims() rings always.
// A receiver that dies
//   between F and G     has not taken the letter: the next receiver does.
//   between G and H     leaves head behind: a place in a later turn than head's was taken.
//   asleep              leaves a bell that costs the next sender one system call.
//
// No wake-up is lost. The receiver sets `asleep`, then looks at the place once more, then sleeps if
// the bell is still as it set it (the kernel compares and queues in one step). A sender fills the
// place, then reads the bell. In S either the sender's read comes after the receiver's write: it
// clears `asleep` and wakes; the kernel finds the receiver queued, or the receiver finds the bell
// changed. Or the receiver's second look comes after the sender's write and finds the letter. Of
// senders that see `asleep` the one that clears it wakes, so that a burst costs one system call.
// wake() sets `called`, which changes the bell as well, and wakes whether `asleep` is set or not.
#include "paceline/net/mailbox.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "mailbox_internal.h"
#include "paceline/result.h"

namespace paceline {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr nanoseconds kAwake{5'000};  // before it sleeps: what a sleep and a wake-up cost, roughly
constexpr int kLooksAClock = 16;

// Shared futexes: FUTEX_PRIVATE_FLAG would keep to one process.

void sleep_while(Bell& bell, std::uint32_t value, nanoseconds within) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(within);
  const timespec time{seconds.count(), (within - seconds).count()};
  syscall(SYS_futex, &bell, FUTEX_WAIT, value, &time, nullptr, 0);
}

void wake_sleeper(Bell& bell) { syscall(SYS_futex, &bell, FUTEX_WAKE, 1, nullptr, nullptr, 0); }

bool has_several_cores() {
  static const bool several = std::thread::hardware_concurrency() > 1;
  return several;
}

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

bool Mailbox::send(SenderId sender, const Letter& letter) const {
  PACELINE_CHECK(sender < kMostSenders, "sender {}: numbers end at {}", sender, kMostSenders - 1);
  // Each further round means that another sender has claimed a place since the last.
  for (;;) {
    std::uint64_t number = words_->tail.load();
    const std::uint64_t turn = words_->turn(number);
    MailboxPlace& place = words_->place(number);
    std::uint64_t state = place.state.load();
    if (turn_of(state) < turn) {
      words_->refused.fetch_add(1);
      return false;
    }
    const std::uint64_t claim = encode_place(turn, sender, PlacePhase::claimed);
    const bool mine =
        state == free_place(turn) && place.state.compare_exchange_strong(state, claim);
    words_->tail.compare_exchange_strong(number, number + 1);
    if (!mine) continue;
    place.letter = letter;
    place.state.store(encode_place(turn, sender, PlacePhase::full));
    if ((words_->bell.load() & kAsleep) != 0 && (words_->bell.fetch_and(~kAsleep) & kAsleep) != 0)
      wake_sleeper(words_->bell);
    return true;
  }
}

bool Mailbox::take(Letter& letter) const {
  for (;;) {
    const std::uint64_t number = words_->head.load();
    const std::uint64_t turn = words_->turn(number);
    MailboxPlace& place = words_->place(number);
    const std::uint64_t state = place.state.load();
    if (turn_of(state) > turn) {  // taken by a receiver that died before it moved the head
      words_->head.store(number + 1);
      continue;
    }
    const bool full = phase_of(state) == PlacePhase::full;
    if (!full && phase_of(state) != PlacePhase::dropped) return false;
    if (full) letter = place.letter;
    place.state.store(free_place(turn + 1));
    words_->head.store(number + 1);
    if (full) return true;
  }
}

bool Mailbox::wait(Letter& letter, nanoseconds within) const {
  if (take(letter)) return true;
  const auto start = Clock::now();
  Bell& bell = words_->bell;
  const nanoseconds awake = has_several_cores() ? std::min(kAwake, within) : nanoseconds(0);
  while (awake.count() > 0 && (bell.load() & kCalled) == 0 && Clock::now() - start < awake)
    for (int i = 0; i < kLooksAClock; ++i) {
      pause_briefly();
      if (take(letter)) return true;
    }
  for (;;) {
    const std::uint32_t asleep = bell.fetch_or(kAsleep) | kAsleep;
    const bool taken = take(letter);
    const bool ends = taken || (asleep & kCalled) != 0;
    const nanoseconds left = ends ? nanoseconds(0) : within - (Clock::now() - start);
    if (left <= nanoseconds(0)) {
      bell.fetch_and(taken ? ~kAsleep : 0);
      return taken;
    }
    sleep_while(bell, asleep, left);
  }
}

void Mailbox::wake() const {
  words_->bell.store(kCalled);
  wake_sleeper(words_->bell);
}

std::size_t Mailbox::clear_claims(SenderId sender) const {
  std::size_t cleared = 0;
  for (std::uint64_t i = 0; i < words_->letters; ++i) {
    std::uint64_t state = words_->place(i).state.load();
    if (phase_of(state) != PlacePhase::claimed || sender_of(state) != sender) continue;
    const std::uint64_t dropped = encode_place(turn_of(state), sender, PlacePhase::dropped);
    if (words_->place(i).state.compare_exchange_strong(state, dropped)) ++cleared;
  }
  words_->bell.fetch_and(~kAsleep);
  wake_sleeper(words_->bell);
  return cleared;
}

std::size_t Mailbox::capacity() const { return words_->letters; }
std::uint64_t Mailbox::refused() const { return words_->refused.load(); }

}  // namespace paceline
