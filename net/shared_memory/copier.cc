#define XXH_INLINE_ALL  // header only: nothing for consumers to link
#include <pthread.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "paceline/net/announcements_internal.h"
#include "paceline/net/shared_memory/copier_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kTurnBytes = std::size_t{4} << 20;
constexpr std::uint32_t kMostDamaged = 3;

std::uint64_t hash_of(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::span<const std::byte> source(const Copier::Work& work) {
  return work.pin ? work.pin.bytes() : work.arena->slot(work.from.slot).buffer(work.from.buffer);
}

/// Finds what to copy.
Result<> begin(Copier::Work& work) {
  if (work.from.slot >= work.arena->slots())
    return fail(std::errc::invalid_argument, "the peer's arena has no slot {}", work.from.slot);
  const Slot slot = work.arena->slot(work.from.slot);
  if (slot.bytes() != work.loan.bytes().size())
    return fail(std::errc::invalid_argument, "the peer's slot {} has {} bytes, the loan for it {}",
                work.from.slot, slot.bytes(), work.loan.bytes().size());
  work.copied = 0;
  if (work.from.ticket != 0 && work.from.buffer < 3 && work.from.version != 0 &&
      work.retries == 0 && slot.held(work.from.buffer) == work.from.version) {
    work.version = work.from.version;
    return success();
  }
  PACELINE_TRY(work.pin, pin_newest(*work.arena, work.from.slot));
  work.version = work.pin.version();
  return success();
}

void start_again(Copier::Work& work) {
  work.pin = {};
  work.version = 0;
  ++work.retries;
}

/// Whether all that was copied is one version, unharmed; if not, the work starts again.
Result<bool> is_whole(Copier::Work& work, FabricOptions::Checksums checksums) {
  const bool same = checksums == FabricOptions::Checksums::off ||
                    hash_of(source(work)) == hash_of(work.loan.bytes());
  // The second header. Acquire fence: its partner is the release fence in Slot::loan(); slot.cc has
  // the argument.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (!work.pin && work.arena->slot(work.from.slot).held(work.from.buffer) != work.from.version) {
    start_again(work);
    return false;
  }
  if (same) return true;
  if (++work.damaged == kMostDamaged)
    return fail(std::errc::illegal_byte_sequence, "slot {} came damaged {} times", work.from.slot,
                kMostDamaged);
  start_again(work);
  return false;
}

/// A turn. @return whether it was the last
Result<bool> go_on(Copier::Work& work, FabricOptions::Checksums checksums) {
  if (work.refused) return *work.refused;
  if (FabricClock::now() >= work.deadline)
    return fail(std::errc::timed_out, "slot {} of {} was not read in time", work.from.slot,
                work.address);
  if (work.version == 0) PACELINE_TRYV(begin(work));
  const auto from = source(work);
  const std::size_t bytes = std::min(kTurnBytes, from.size() - work.copied);
  copy_block(work.loan.bytes().subspan(work.copied, bytes), from.subspan(work.copied, bytes));
  work.copied += bytes;
  work.bytes += bytes;
  if (work.copied < from.size()) return false;
  return is_whole(work, checksums);
}

}  // namespace

Copier::Copier(FabricOptions::Checksums checksums) : checksums_(checksums) {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "fabric-copier");
    run();
  });
}

Copier::~Copier() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  const auto left = std::exchange(waiting_, {});
  PACELINE_CHECK(left.empty(), "{} reads were forgotten", left.size());
}

void Copier::add(Work work) {
  std::unique_lock lock(mutex_);
  const auto of_peer = std::ranges::count(waiting_, work.peer, &Work::peer);
  if (static_cast<std::size_t>(of_peer) >= Fabric::kMostInFlight)
    work.refused = fail(std::errc::resource_unavailable_try_again,
                        "{} reads are under way to this peer already", Fabric::kMostInFlight);
  waiting_.push_back(std::move(work));
  lock.unlock();
  changed_.notify_all();
}

void Copier::end(PeerId peer, const Error& error) {
  std::deque<Work> ended;
  std::unique_lock lock(mutex_);
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (at->peer == peer) {
      ended.push_back(std::move(*at));
      at = waiting_.erase(at);
    } else {
      ++at;
    }
  }
  if (in_hand_ == peer) {
    dismissed_ = error;
    changed_.wait(lock, [&] { return in_hand_ != peer; });
  }
  lock.unlock();
  for (Work& work : ended) tell(std::move(work), error);
}

bool Copier::is_idle() const {
  const std::scoped_lock lock(mutex_);
  return waiting_.empty() && !in_hand_;
}

void Copier::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    Work work = std::move(waiting_.front());
    waiting_.pop_front();
    in_hand_ = work.peer;
    lock.unlock();
    auto last = go_on(work, checksums_);
    lock.lock();
    if (dismissed_) last = *std::exchange(dismissed_, std::nullopt);
    if (last && !last.value()) {
      waiting_.push_back(std::move(work));
    } else {
      lock.unlock();
      if (last)
        tell(std::move(work), success());
      else
        tell(std::move(work), last.error());
      lock.lock();
      dismissed_.reset();  // it has ended by itself
    }
    in_hand_.reset();
    changed_.notify_all();
  }
}

void Copier::tell(Work work, Result<> result) {
  work.pin = {};
  if (work.from.ticket != 0) work.release();
  if (result)
    return work.done(Arrival{std::move(work.loan), work.version, work.bytes, work.retries});
  { const Loan gone = std::move(work.loan); }  // FA-6
  work.done(result.error());
}

}  // namespace paceline
