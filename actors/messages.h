// The messages between a run's actors, and the actors' typed interfaces. A protocol's packets
// travel as opaque words, so that no serialiser ever sees a float; all others are local to a
// process.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "paceline/actors/caf_compat.h"
#include "paceline/actors/packet.h"
#include "paceline/actors/role_host.h"
#include "paceline/net/mailbox.h"
#include "paceline/result.h"

namespace paceline {

class Rider;

/// A Packet, word by word.
struct Wire {
  std::array<std::uint64_t, sizeof(Packet) / 8> words{};
};
template <class Inspector>
auto inspect(Inspector& f, Wire& wire) {
  return fields(f, "wire", wire, field("words", wire.words));
}
inline Wire to_wire(const Packet& packet) {
  Wire wire;
  static_assert(sizeof wire == sizeof packet);
  std::memcpy(wire.words.data(), &packet, sizeof packet);
  return wire;
}
inline Packet to_packet(const Wire& wire) {
  Packet packet;
  std::memcpy(static_cast<void*>(&packet), wire.words.data(), sizeof packet);
  return packet;
}

struct Begin {};           ///< run -> roles: start your protocol role
struct Seated {            ///< run -> front: from now on this one is the seat's rider
  Rider* rider = nullptr;  ///< outlives the front, or its EngineEnded
};
struct Stop {};  ///< run -> workers: no further step, no long waits
struct Tick {};  ///< a service to itself: look at your deadline
struct Drain {
};  ///< run -> services: how many messages have you handled, and do you only wait for more?
struct SaveState {
};  ///< checkpointer -> centre: put what you are made of into your slot; false: not now, you are busy
struct Saved {  ///< worker -> centre, after all that it told it before: my state answers `request`
  Rank rank = 0;
  std::uint64_t request = 0;
};
struct Fetch {  ///< role -> courier: bring this slot to our group
  SlotRef slot;
  Address asker;             ///< who gets Fetched; nobody: a prefetch
  std::uint64_t ticket = 0;  ///< comes back with the answer
  std::uint64_t at_least = kNewest;  ///< version
};
struct Fetched {  ///< courier -> asker: it is there, or cannot be had now
  std::uint64_t ticket = 0;
};
struct EngineReady {  ///< engine -> run
  Rank rank = 0;
  Error error;  ///< without a code: compiled and waiting for Begin
};
struct EngineEnded {  ///< engine -> front, front -> run
  Rank rank = 0;
  bool crashed = false;
};
struct LastWord {  ///< postman -> run: an engine of a process has ended, and the process ends, too
  EngineEnded end;
};
struct ProcessEnded {  ///< postman -> run, after all that the worker's process has sent
  Rank rank = 0;
};
struct FromGroup {  ///< postman -> run: what another group's process says to this one's run
  Letter letter;
};
struct GroupLost {  ///< fabric -> run: another group's process is not reached any more
  std::uint32_t group = 0;
  Error error;
};
struct Trouble {  ///< postman -> run: why the run cannot go on
  Error error;
};
struct Skipped {  ///< postman -> run: an image file that a worker could not read
  std::string name, reason;
};
struct Assess {  ///< run -> evaluator
  enum class What : std::uint8_t { prepare, leader, mean, snapshot, snapshots, checkpoint };
  What what = What::leader;
  Address leader;  ///< whose newest published parameters lead
  double t = 0;    ///< training seconds
};
struct Assessed {  ///< evaluator -> run and recorder
  Assess::What what = Assess::What::leader;
  bool mean = false;  ///< of a snapshot: the workers' mean, not the leader
  double t = 0, error = 0, loss = 0, cpu_seconds = 0;
  Error failure;     ///< without a code: the figures hold
  bool last = true;  ///< no more answers to this request
};
struct Observation {  ///< anyone -> recorder
  Address from;
  double t = 0;  ///< training seconds
  Event event;
};
struct Progressed {  ///< worker -> recorder, about once a second
  Address from;
  double t = 0, loss = 0, images_per_second = 0, learning_rate = 0;
  std::uint64_t steps = 0;  ///< of this worker, so far
};
struct Flush {};  ///< run -> recorder: let the file catch up

/// Where an actor runs: on the scheduler's threads, or on a thread of its own because it moves
/// whole vectors or waits.
enum class Placement : std::uint8_t { scheduled, detached };

/// A worker's front, a local leader, a global leader or centre: all that protocols talk to.
using RoleActor = Typed<caf::result<void>(Wire), caf::result<void>(Begin), caf::result<void>(Stop),
                        caf::result<void>(Tick), caf::result<void>(Fetched),
                        caf::result<void>(EngineEnded), caf::result<std::uint64_t, bool>(Drain),
                        caf::result<void>(Seated), caf::result<bool>(SaveState),
                        caf::result<void>(Saved)>;
using CourierActor = Typed<caf::result<void>(Fetch), caf::result<std::uint64_t, bool>(Drain)>;
using EvaluatorActor = Typed<caf::result<void>(Assess)>;
using RecorderActor = Typed<caf::result<void>(Observation), caf::result<void>(Progressed),
                            caf::result<void>(Assessed), caf::result<Error>(Flush)>;

}  // namespace paceline

// These never leave the process: a serialiser that meets one says so at once.
#define PACELINE_LOCAL(type) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(paceline::type)
PACELINE_LOCAL(Begin)
PACELINE_LOCAL(Seated)
PACELINE_LOCAL(Stop)
PACELINE_LOCAL(Tick)
PACELINE_LOCAL(Drain)
PACELINE_LOCAL(SaveState)
PACELINE_LOCAL(Saved)
PACELINE_LOCAL(Fetch)
PACELINE_LOCAL(Fetched)
PACELINE_LOCAL(EngineReady)
PACELINE_LOCAL(EngineEnded)
PACELINE_LOCAL(LastWord)
PACELINE_LOCAL(ProcessEnded)
PACELINE_LOCAL(FromGroup)
PACELINE_LOCAL(GroupLost)
PACELINE_LOCAL(Trouble)
PACELINE_LOCAL(Skipped)
PACELINE_LOCAL(Assess)
PACELINE_LOCAL(Assessed)
PACELINE_LOCAL(Observation)
PACELINE_LOCAL(Progressed)
PACELINE_LOCAL(Flush)
PACELINE_LOCAL(Error)
#undef PACELINE_LOCAL
