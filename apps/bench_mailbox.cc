#include "bench_mailbox.h"

#include <sched.h>

#include <algorithm>
#include <caf/actor_cast.hpp>
#include <caf/io/middleman.hpp>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "paceline/actors/caf_compat.h"
#include "paceline/net/arena.h"
#include "paceline/net/child_process.h"

namespace paceline {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kBlocks = 11;  // of each kind, of which the median counts
constexpr milliseconds kBlock{120};
constexpr microseconds kPause{200};  // far longer than anybody looks before it sleeps
constexpr seconds kPatience{10};

/// What a block of round trips gave: seconds each.
using Times = std::vector<double>;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// ---- Mailboxes: 0 is the other process's, 1 this one's ----

/// A letter's kind: how the other process receives from then on. Every letter comes back.
enum Reception : std::uint16_t { kSleeping, kPolling };
constexpr SenderId kAsker = 0, kAnswerer = 1;

/// The cores that the calling thread may run on.
class Cores {
 public:
  Cores() { sched_getaffinity(0, sizeof all_, &all_); }
  int count() const { return CPU_COUNT(&all_); }

  /// Keeps the thread on one of them: two who poll are to run at the same time, and the kernel
  /// likes to put one who was just woken next to who woke it.
  void keep_to(int index) const {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &all_) && index-- == 0) CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  void use_all() const { sched_setaffinity(0, sizeof all_, &all_); }

 private:
  cpu_set_t all_{};
};

/// Looks for letters all the time.
class Poll {
 public:
  explicit Poll(int cores) : only_core_(cores == 1) {}

  bool operator()(Mailbox mailbox, Letter& letter) {
    if (mailbox.take(letter)) return true;
    // On a single core the sender needs it, or nothing ever comes; where others compete for the
    // cores, it may need this one.
    if (only_core_ || ++looks_ % 1024 == 0) std::this_thread::yield();
    return false;
  }

 private:
  const bool only_core_;
  std::uint64_t looks_ = 0;
};

class LetterTrips {
 public:
  /// @param child  the other process; outlives this
  LetterTrips(const Arena& arena, ChildProcess& child)
      : there_(arena.mailbox(0)), back_(arena.mailbox(1)), child_(child) {}

  Result<Times> block(Reception reception, microseconds pause) {
    PACELINE_TRYV(trip(reception));
    if (reception == kPolling) cores_.keep_to(0);
    Times times;
    for (const auto end = Clock::now() + kBlock; times.empty() || Clock::now() < end;) {
      if (pause.count() > 0) std::this_thread::sleep_for(pause);
      const auto start = Clock::now();
      PACELINE_TRYV(trip(reception));
      times.push_back(seconds_since(start));
    }
    cores_.use_all();
    PACELINE_TRYV(trip(kSleeping));  // it shall not take anybody's core from now on
    return times;
  }

  Result<> receive(Letter& letter, Reception reception) {
    constexpr int kLooks = 1 << 16;  // between a look at the clock and another
    for (const auto end = Clock::now() + kPatience; Clock::now() < end;) {
      if (reception == kSleeping && back_.wait(letter, milliseconds(100))) return success();
      for (int i = 0; reception == kPolling && i < kLooks; ++i)
        if (poll_(back_, letter)) return success();
      if (const auto ended = child_.wait(seconds(0)))
        return fail(std::errc::no_child_process, "the other process has ended: {}", ended->words());
    }
    return fail(std::errc::timed_out, "the other process does not answer");
  }

 private:
  Result<> trip(Reception reception) {
    Letter letter;
    letter.kind = reception;
    letter.part = ++number_;
    if (!there_.send(kAsker, letter))
      return fail(std::errc::no_buffer_space, "the other process takes no letters");
    PACELINE_TRYV(receive(letter, reception));
    if (letter.part != number_)
      return fail(std::errc::protocol_error, "letter {} came back as {}", number_, letter.part);
    return success();
  }

  Mailbox there_, back_;
  ChildProcess& child_;
  const Cores cores_;
  Poll poll_{cores_.count()};
  std::uint32_t number_ = 0;
};

// ---- CAF: an actor in each process, and four integers that go to and fro ----

/// The fastest that was found: one scheduler thread, sharing. Work stealing, CAF's own choice, takes
/// two to four times as long.
struct RemotingConfig : caf::actor_system_config {
  RemotingConfig() {
    load<caf::io::middleman>();
    use_sharing_scheduler(*this, 1);
  }
};

caf::behavior echo(caf::event_based_actor* self) {
  return {[=](std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d) {
    tell(self, caf::actor_cast<caf::actor>(self->current_sender()), a, b, c, d);
  }};
}

/// A block of round trips; outlives whoever waits for it in vain.
struct MessageTrips {
  microseconds pause{0};
  Clock::time_point end, start;
  std::uint64_t number = 0;
  Times times;
  std::promise<Result<>> done;
};

void begin_trip(caf::event_based_actor* self, const caf::actor& other, MessageTrips& trips) {
  if (trips.pause.count() > 0) std::this_thread::sleep_for(trips.pause);
  const std::uint64_t number = ++trips.number;
  trips.start = Clock::now();
  tell(self, other, number, number, number, number);
}

caf::behavior make_trips(caf::event_based_actor* self, const caf::actor& other,
                         const std::shared_ptr<MessageTrips>& trips) {
  begin_trip(self, other, *trips);
  return {[=](std::uint64_t a, std::uint64_t, std::uint64_t, std::uint64_t d) {
    trips->times.push_back(seconds_since(trips->start));
    const bool right = a == trips->number && d == trips->number;
    if (right && Clock::now() < trips->end) return begin_trip(self, other, *trips);
    self->quit();
    if (right)
      trips->done.set_value(success());
    else
      trips->done.set_value(fail(std::errc::protocol_error, "message {} came back as {} and {}",
                                 trips->number, a, d));
  }};
}

Result<Times> block_of_messages(caf::actor_system& system, const caf::actor& other,
                                microseconds pause) {
  const auto trips = std::make_shared<MessageTrips>();
  trips->pause = pause;
  trips->end = Clock::now() + kBlock;
  auto done = trips->done.get_future();
  const caf::actor actor = system.spawn(make_trips, other, trips);
  if (done.wait_for(kBlock + kPatience) != std::future_status::ready) {
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    return fail(std::errc::timed_out, "the other process does not answer over CAF");
  }
  PACELINE_TRYV(done.get());
  return std::move(trips->times);
}

// ---- Figures ----

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Of one way: a median and a rate a block.
struct Figures {
  std::vector<double> medians, rates;

  void add(const Times& times) {
    medians.push_back(median(times));
    rates.push_back(static_cast<double>(times.size()) /
                    std::accumulate(times.begin(), times.end(), 0.0));
  }
};

nlohmann::json row(const char* receiver, const Figures& mailbox, const Figures& caf) {
  return {{"receiver", receiver},
          {"mailbox_seconds", median(mailbox.medians)},
          {"mailbox_per_second", median(mailbox.rates)},
          {"caf_seconds", median(caf.medians)},
          {"caf_per_second", median(caf.rates)},
          {"ratio", median(caf.medians) / median(mailbox.medians)}};
}

}  // namespace

Result<nlohmann::json> bench_mailbox() {
  ArenaOptions options;
  options.name = "bench-mailbox";
  options.mailboxes = {{64}, {64}};
  options.board_bytes = sizeof(ProcessIdentity);
  PACELINE_TRY(const Arena arena, Arena::create(options));
  std::memcpy(arena.board().data(), &this_process(), sizeof(ProcessIdentity));
  RemotingConfig config;
  caf::actor_system system(config);
  PACELINE_TRY(ChildProcess child, ChildProcess::start({"/proc/self/exe", "bench", "mailbox",
                                                        "--peer", arena.segment()}));
  LetterTrips letters(arena, child);
  Letter address;
  PACELINE_TRYV(letters.receive(address, kSleeping));
  std::uint16_t port = 0;
  std::memcpy(&port, address.payload, sizeof port);
  const auto other = system.middleman().remote_actor("127.0.0.1", port);
  if (!other) return fail(std::errc::connection_refused, "CAF cannot connect to port {}", port);

  constexpr microseconds kNoPause{0};
  Figures mailbox_busy, mailbox_asleep, caf_busy, caf_asleep;
  PACELINE_TRYV(block_of_messages(system, *other, kNoPause));  // warms up
  for (int i = 0; i < kBlocks; ++i) {
    PACELINE_TRY(const Times polled, letters.block(kPolling, kNoPause));
    PACELINE_TRY(const Times remote, block_of_messages(system, *other, kNoPause));
    PACELINE_TRY(const Times waited, letters.block(kSleeping, kPause));
    PACELINE_TRY(const Times remote_waited, block_of_messages(system, *other, kPause));
    mailbox_busy.add(polled);
    caf_busy.add(remote);
    mailbox_asleep.add(waited);
    caf_asleep.add(remote_waited);
  }
  return nlohmann::json{
      {"cores", Cores().count()},
      {"results",
       {row("busy", mailbox_busy, caf_busy), row("asleep", mailbox_asleep, caf_asleep)}}};
}

Error answer_bench_mailbox(const std::string& segment) {
  const auto attached = Arena::attach(segment, 0);
  if (!attached) return attached.error();
  const Arena& arena = attached.value();
  ProcessIdentity parent;
  if (arena.board().size() != sizeof parent || arena.mailboxes() != 2)
    return fail(std::errc::invalid_argument, "{} is no arena of paceline bench mailbox", segment);
  std::memcpy(&parent, arena.board().data(), sizeof parent);
  if (const auto bound = die_with_parent(parent); !bound) return bound.error();

  RemotingConfig config;
  caf::actor_system system(config);
  const auto port = system.middleman().publish(system.spawn(echo), 0, "127.0.0.1");
  if (!port) return fail(std::errc::address_not_available, "CAF cannot publish on 127.0.0.1");
  Letter letter;
  std::memcpy(letter.payload, &*port, sizeof *port);
  arena.mailbox(1).send(kAnswerer, letter);

  const Cores cores;
  Poll poll(cores.count());
  // For ever: a system with a published actor would not end in order anyway.
  for (std::uint16_t reception = kSleeping;;) {
    if (!(reception == kPolling ? poll(arena.mailbox(0), letter)
                                : arena.mailbox(0).wait(letter, std::chrono::hours(1))))
      continue;
    if (letter.kind != reception) {
      reception = letter.kind;
      if (reception == kPolling && cores.count() > 1)
        cores.keep_to(1);
      else
        cores.use_all();
    }
    arena.mailbox(1).send(kAnswerer, letter);
  }
}

}  // namespace paceline
