// The deterministic driver: the roles of one run on one thread, in virtual time, everything from
// one seed. Event times are integers. Messages, reads, stragglers, losses and crashes are events;
// slots lie in local arenas, one a group, and a slot of another group is read once for the whole
// group.
//   VT-1 The same run under the same conditions and seed gives the same bits and the same events.
//   VT-2 Events of one instant run in the order in which they were caused; a receive without
//        waiting time ends after all of them, a deadline after those.
//   VT-3 A source's messages arrive in the order sent, but for those that conditions reorder. Slots
//        outlive their role.
//   VT-4 Who takes a crashed worker's place comes when its end is known and what was on its way to it
//        has arrived, or later.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "paceline/actors/gradient_engine.h"
#include "paceline/actors/protocol.h"
#include "paceline/actors/simulation/compute_time.h"

namespace paceline {

/// How the machines and the network behave.
struct Conditions {
  nanoseconds step{1'000'000};  ///< one gradient
  /// A worker's steps take up to so much longer than `step`; each of them up to 10 % more again.
  std::uint32_t spread_percent = 0;
  ComputeTime compute;  ///< what else makes a gradient's time differ from `step`
  nanoseconds local_delay{0}, remote_delay{0};  ///< of messages and reads, within and across groups
  std::uint32_t jitter_percent = 0;             ///< delays grow by up to so much
  /// Of a group's link, which carries what it sends to others, messages and what they read, one
  /// after the other; 0: no limit.
  std::uint64_t bytes_per_second = 0;
  std::uint32_t lost_per_million = 0;  ///< messages that never arrive
  /// Messages that arrive late, by up to four times their delay, and let later ones overtake them.
  std::uint32_t reordered_per_million = 0;
  /// Between `from` and `until` a group hears nothing of the others, nor they of it: messages are
  /// lost, reads wait for the end.
  struct Partition {
    nanoseconds from, until;
    std::uint32_t group = 0;
  };
  std::vector<Partition> partitions;
  struct Crash {
    nanoseconds at;
    Address who;
    /// Of a worker: when another takes its place, after the crash; 0: nobody does.
    nanoseconds replaced_after{0};
  };
  std::vector<Crash> crashes;
  /// Of a worker that is added, in a seat that begins empty.
  struct Addition {
    nanoseconds at;
    Rank who = kNobody;
  };
  std::vector<Addition> additions;
  nanoseconds detection{1'000'000};         ///< from a crash until its peers hear of it
  nanoseconds patience{30'000'000'000};     ///< how long anyone waits for anybody
  nanoseconds horizon{86'400'000'000'000};  ///< then what still waits is cancelled
};

struct VirtualRun {
  const Protocol* protocol = nullptr;
  Settings settings;
  Place place;
  std::size_t dimension = 0;
  const VectorMath* math = nullptr;
  Sgd sgd;
  double clip_norm = 0;  ///< 0: gradients are not clipped
  std::function<std::unique_ptr<GradientEngine>(Rank)> engine;
  /// Writes a role's initial x, which is zero without.
  std::function<void(Address, Vector)> initial;
  std::uint64_t steps = 100;  ///< a worker's
  bool share_steps = false;   ///< steps x W in all, whoever takes them
  bool keep_records = true;   ///< of all that roles say; else of faults alone
  std::uint64_t seed = 1;
  Conditions conditions;
};

/// What one role has sent and received: pins of others' slots by workers and centres, wherever they
/// lie, by the bytes that they read. Leaders only name slots.
struct Moved {
  std::uint64_t sent = 0, received = 0;
  std::uint64_t bytes() const { return sent + received; }
};

struct Traffic {
  std::uint64_t messages = 0, message_bytes = 0;  ///< payloads sent
  std::uint64_t reads = 0, read_bytes = 0;        ///< of slots of other groups
  std::uint64_t link_bytes = 0;                   ///< of both, what went from group to group
  nanoseconds queued{0};  ///< how long all that stood before its link, behind others
};

class VirtualTime {
 public:
  /// @return an error for bad settings, or when there is no memory
  static Result<VirtualTime> create(VirtualRun run);
  VirtualTime(VirtualTime&&) noexcept;
  VirtualTime& operator=(VirtualTime&&) noexcept;
  ~VirtualTime();

  /// Runs until every role has ended, or the horizon.
  void run();
  /// The same, but every so often of virtual time asks whether to go on: false cancels all.
  void run(nanoseconds every, const std::function<bool()>& go_on);

  /// Who has the role now.
  RoleHost& role(Address who);
  RoleHost& worker(Rank rank);
  RoleHost& global();
  bool ended(Address who) const;  ///< or crashed
  /// The centre, if the protocol has one; else the worker that was elected last, or a sequential
  /// protocol's; else nobody, Address{}.
  Address leading() const;
  nanoseconds now() const;
  std::uint64_t events() const;  ///< that were worked off
  const Traffic& traffic() const;
  const Moved& moved(Address who) const;
  std::uint64_t steps() const;                       ///< of all workers
  std::uint64_t count(std::string_view name) const;  ///< summed over the roles
  struct Record {
    nanoseconds at;
    Address by;
    Event event;
  };
  const std::vector<Record>& records() const;
  std::vector<std::string> faults() const;

 private:
  class Driver;
  explicit VirtualTime(std::unique_ptr<Driver> driver);
  std::unique_ptr<Driver> driver_;
};

}  // namespace paceline
