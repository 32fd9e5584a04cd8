// Why a pinned buffer is never written. In the total order S of sequentially consistent operations:
//
//   reader                                  writer
//   R1  word   := (buffer b, me)            W1  newest := (n', b'), b' != b
//   R2  newest == (n, b)?  else again       W2  word names b?  then b is not free
//
// n counts publications. Assume the writer overwrites b while a pin taken at (n, b) holds. b was
// the newest once, and loan() never takes the newest, so a publish W1 of another buffer came before
// the scan W2 that found the word without b: W1 < W2. That W2 did not see R1 (a word stays as it is
// until its owner lets go) means W2 < R1. With R1 < R2 this gives W1 < R2: R2 saw a later
// publication than n, and the reader did not take the pin. (n, b) cannot come back, since n only
// grows.
//
// Why what a reader sees is whole: publish writes `newest` after the payload, and the reader's load
// of `newest` synchronises with it. Why a late reader is not overtaken: it lets go of its word by a
// release store after its last read; the writer's scan reads that store, or a later claim of
// another reader, whose compare-and-swap acquired it and passed it on; the payload is written after
// the scan.
//
// Why a reader without a pin (held(), buffer()) notices what is torn: header, payload, header.
//
//   writer                                  reader
//   L1  held[b] := 0                        H1  held[b] == v?   (acquire)
//       release fence                       H2  read the payload
//   L2  write the payload                       acquire fence
//   L3  held[b] := v'                       H3  held[b] == v?
//
// Had H2 read a byte of a later L2, the fences order that L1 before H3, which then reads 0 or a
// version that was written after it; versions never come back, so H3 differs from v. Had H2 read a
// byte older than v's, H1, which read v from L3 and acquired it, forbids that. A reader on another
// node sees the same order of stores: its second header is read after all of its payload has come.
#include "paceline/net/slot.h"

#define XXH_INLINE_ALL  // header only: nothing for consumers to link
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <thread>
#include <utility>

#include "slot_internal.h"

namespace paceline {
namespace {

std::uint64_t own_word() {
  static const std::uint64_t word = encode_owner(this_process());
  return word;
}

/// Where this thread starts to look for a free word, so that readers seldom meet.
std::size_t search_start() {
  thread_local const std::uint64_t start = [] {
    const auto thread = std::hash<std::thread::id>{}(std::this_thread::get_id());
    return ((thread ^ own_word()) * 0x9e3779b97f4a7c15u) >> 32;
  }();
  return start;
}

/// Claims a free word. @return it, or null when all are taken
Word* claim(std::span<Word> words, std::uint64_t pin) {
  const std::size_t start = words.empty() ? 0 : search_start() % words.size();
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t at = start + i < words.size() ? start + i : start + i - words.size();
    // Looking first keeps the cache lines of taken words shared. Relaxed, and without a partner:
    // the compare-and-swap decides.
    if (words[at].load(std::memory_order_relaxed) != 0) continue;
    std::uint64_t free = 0;
    if (words[at].compare_exchange_strong(free, pin)) return &words[at];
  }
  return nullptr;
}

/// XXH3, 64 bits: at the speed of memory.
std::uint64_t checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

/// Whether a pinned buffer holds what was published in it; if not, counts that in `found`.
bool check(SlotWords& words, std::byte* buffers, std::size_t buffer, Word& found) {
  if (checksum(words.buffer(buffers, buffer)) == words.sum[buffer].load()) return true;
  words.damaged_version.store(words.held[buffer].load());
  found.fetch_add(1);
  return false;
}

}  // namespace

// ---- Pin ----

Pin::Pin(Pin&& other) noexcept
    : words_(other.words_),
      buffers_(other.buffers_),
      word_(std::exchange(other.word_, nullptr)),
      buffer_(other.buffer_) {}

Pin& Pin::operator=(Pin&& other) noexcept {
  Pin moved(std::move(other));
  std::swap(words_, moved.words_);
  std::swap(buffers_, moved.buffers_);
  std::swap(word_, moved.word_);
  std::swap(buffer_, moved.buffer_);
  return *this;  // what this held before goes with `moved`
}

Pin::~Pin() {
  if (word_ == nullptr) return;
  if (words_->checksums != 0) check(*words_, buffers_, buffer_, words_->changed);
  // Release: partners are the scan in Slot::loan() and the next claim(), both stronger.
  word_->store(0, std::memory_order_release);
}

std::uint64_t Pin::version() const { return word_ == nullptr ? 0 : words_->held[buffer_].load(); }

std::span<const std::byte> Pin::bytes() const {
  if (word_ == nullptr) return {};
  return words_->buffer(buffers_, buffer_);
}

// ---- Loan ----

Loan::Loan(Loan&& other) noexcept
    : words_(std::exchange(other.words_, nullptr)),
      buffers_(other.buffers_),
      buffer_(other.buffer_) {}

Loan& Loan::operator=(Loan&& other) noexcept {
  Loan moved(std::move(other));
  std::swap(words_, moved.words_);
  std::swap(buffers_, moved.buffers_);
  std::swap(buffer_, moved.buffer_);
  return *this;
}

Loan::~Loan() {
  if (words_ != nullptr) words_->loaned.store(0);
}

std::span<std::byte> Loan::bytes() const { return words_->buffer(buffers_, buffer_); }

std::uint64_t Loan::publish() && {
  const std::uint64_t newest = words_->newest.load();  // this writer's own last publish
  const bool first = publication_of(newest) == 0;
  return std::move(*this).publish_as(first ? 1 : words_->held[buffer_of(newest)].load() + 1);
}

std::uint64_t Loan::publish_as(std::uint64_t version) && {
  PACELINE_CHECK(version != 0, "version 0 means that nothing was published");
  words_->held[buffer_].store(version);
  if (words_->checksums != 0) words_->sum[buffer_].store(checksum(bytes()));
  words_->newest.store(encode_newest(publication_of(words_->newest.load()) + 1, buffer_));
  words_->loaned.store(0);
  words_ = nullptr;
  return version;
}

// ---- Slot ----

std::size_t Slot::bytes() const { return words_->bytes; }
bool Slot::is_elsewhere() const { return words_->elsewhere != 0; }
std::uint64_t Slot::version() const {
  // The newest buffer is never written, so its version holds as long as it is the newest.
  for (std::uint64_t newest = words_->newest.load();;) {
    if (publication_of(newest) == 0) return 0;
    const std::uint64_t version = words_->held[buffer_of(newest)].load();
    if (const std::uint64_t now = words_->newest.load(); now == newest)
      return version;
    else
      newest = now;
  }
}
std::uint64_t Slot::busy() const { return words_->busy.load(); }

std::optional<Loan> Slot::loan() const {
  // A word of another process is what a writer that was killed left behind.
  PACELINE_CHECK(owner_of(words_->loaned.load()) != own_word(),
                 "a second loan while the first is out");
  PACELINE_CHECK(buffers_ != nullptr, "a loan of a slot whose buffers this process has not got");
  bool taken[kBuffers + 1] = {};  // buffer_of() has two bits
  const std::uint64_t newest = words_->newest.load();
  if (publication_of(newest) != 0) taken[buffer_of(newest)] = true;
  for (const Word& word : words_->pin_words())
    if (const std::uint64_t pin = word.load(); pin != 0) taken[buffer_of(pin)] = true;
  for (std::size_t buffer = 0; buffer < kBuffers; ++buffer) {
    if (taken[buffer]) continue;
    words_->loaned.store(own_word() | buffer);
    words_->held[buffer].store(0);
    std::atomic_thread_fence(std::memory_order_release);  // L1 before L2; partner: H3's fence
    return Loan(words_, buffers_, buffer);
  }
  words_->busy.fetch_add(1);
  return std::nullopt;
}

std::size_t Slot::pins() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(words_->pin_words(), [](const Word& word) { return word.load() != 0; }));
}

Pin Slot::pin() const {
  std::uint64_t newest = words_->newest.load();
  if (publication_of(newest) == 0 || buffers_ == nullptr) return {};
  Word* word = claim(words_->pin_words(), own_word() | buffer_of(newest));
  if (word == nullptr) return {};
  // Each further turn means that a version was published since the last: readers never wait for
  // one, and a writer is far slower than this loop.
  for (;;) {
    const std::uint64_t now = words_->newest.load();
    if (now == newest) break;
    newest = now;
    word->store(own_word() | buffer_of(newest));
  }
  const std::size_t buffer = buffer_of(newest);
  if (words_->checksums != 0 && !check(*words_, buffers_, buffer, words_->refused)) {
    word->store(0);
    return {};
  }
  return Pin(words_, buffers_, word, buffer);
}

std::uint64_t Slot::held(std::size_t buffer) const {
  PACELINE_CHECK(buffer < kBuffers, "buffer {} of {}", buffer, kBuffers);
  return words_->held[buffer].load();
}

std::span<const std::byte> Slot::buffer(std::size_t buffer) const {
  PACELINE_CHECK(buffer < kBuffers, "buffer {} of {}", buffer, kBuffers);
  return words_->buffer(buffers_, buffer);
}

SlotDamage Slot::damage() const {
  return {words_->refused.load(), words_->changed.load(), words_->damaged_version.load()};
}

void copy_block(std::span<std::byte> to, std::span<const std::byte> from) {
  PACELINE_CHECK(to.size() == from.size(), "{} bytes into {}", from.size(), to.size());
  // Streaming stores of our own would be faster for blocks beyond the last cache (1.3 times at
  // 64 MiB, Zen 5) but slower below (0.75 times at 1 MiB), and readers would find nothing cached.
  if (!to.empty()) std::memcpy(to.data(), from.data(), to.size());
}

}  // namespace paceline
