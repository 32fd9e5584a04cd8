// What the actors of one run share in a process. Whoever spawns them owns it and outlives them;
// nobody else keeps anything global. Threading: options, network, data, protocol and directory do
// not change once the first Begin is sent; the rest guards itself.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/course.h"
#include "paceline/actors/device_turns.h"
#include "paceline/actors/fabric_reads.h"
#include "paceline/actors/group_arenas.h"
#include "paceline/actors/messages.h"
#include "paceline/actors/pinning.h"
#include "paceline/actors/protocol.h"
#include "paceline/actors/protocol_settings.h"
#include "paceline/actors/role_state.h"
#include "paceline/actors/run.h"
#include "paceline/actors/run_words.h"
#include "paceline/actors/step_times.h"
#include "paceline/actors/thread_clock.h"
#include "paceline/compute/device.h"
#include "paceline/net/process.h"

namespace paceline {

struct RunContext {
  RunContext(const RunOptions& o, const Network& n, const Data& d, RunWords& w)
      : options(o), network(n), data(d), words(w), budget(w.budget), live(w.live) {}

  const RunOptions& options;
  const Network& network;
  const Data& data;
  RunWords& words;
  StepBudget& budget;  ///< of `words`
  LiveState& live;     ///< of `words`
  Place place;
  std::optional<std::uint32_t> only;  ///< the one group whose roles live here; nothing: all do
  std::uint64_t steps_planned = 0;    ///< of all groups; 0: no bound
  const Protocol* protocol = nullptr;
  std::shared_ptr<const void> hyper;
  DeviceTurns turns;
  /// The first of the list: what all but workers compute with. In a worker's process its own.
  std::unique_ptr<Device> device;
  std::map<std::string, std::unique_ptr<Device>, std::less<>> more_devices;  ///< workers', by name
  bool slots_on_device = false;  ///< those of whole vectors
  std::vector<float> initial;    ///< [P + B], every worker's and the centre's first parameters
  std::vector<ElementRange> undecayed;    ///< what options.sgd refers to
  StateShape worker_state, centre_state;  ///< empty where there are no slots for them
  std::unique_ptr<GroupArenas> arenas;
  ProcessIdentity home = this_process();  ///< the run's process
  ProcessorShares processors;             ///< by seat; no seats: workers are not pinned
  std::vector<RoleActor>
      directory;  ///< by Address, proxies of who lives elsewhere; invalid where the protocol has no such role
  std::vector<CourierActor> couriers;  ///< by group; invalid of one that is elsewhere
  RecorderActor recorder;
  std::unique_ptr<CourseWriter> course;  ///< null: it is not kept
  FabricReadCounts reads;

  const StateShape& state(Address role) const {
    static const StateShape none;
    const Role kind = place.role(role);
    return kind == Role::worker ? worker_state : kind == Role::global ? centre_state : none;
  }
  /// Whether the role lives in this process, or in that of a worker of it.
  bool hosts(Address role) const { return !only || place.group(role) == *only; }
  /// The newest version of a slot that is known of here.
  std::uint64_t newest(SlotRef slot) const {
    if (hosts(slot.owner)) return arenas->newest(slot);
    if (slot.index != kParameters) return 0;
    return place.role(slot.owner) == Role::worker ? words.seat(slot.owner.index).published.load()
                                                  : live.centre_version.load();
  }
  SlotDevice slot_device() const {
    SlotDevice slots{device.get(), slots_on_device};
    for (const auto& [name, other] : more_devices) slots.more.push_back(other.get());
    return slots;
  }
  /// What a role computes with.
  Device& device_of(Address role) const {
    if (more_devices.empty() || place.role(role) != Role::worker) return *device;
    const auto other = more_devices.find(turns.of(role.index));
    return other != more_devices.end() ? *other->second : *device;
  }
  /// The calling thread works for this worker from now on, on accelerators of its kind.
  void use_device_for(Rank worker) const {
    device_of(place.worker(worker)).use_for(turns.turn(worker));
  }
  StateBytes state_bytes() const { return {worker_state.bytes, centre_state.bytes}; }
  /// At a checkpoint, workers wait for each other: all belong to one moment.
  bool pauses() const { return options.deterministic || protocol->has_centre(); }
  /// And all are at the same number of steps or rounds, a multiple of this; 0: at any.
  std::uint64_t common() const {
    return protocol->synchronous   ? 1
           : options.deterministic ? settled_every(*protocol, options)
                                   : 0;
  }

  /// How the steps of the slowest worker are; nothing while somebody has taken too few.
  std::optional<StepSummary> slowest() const {
    StepSummary slowest;
    for (Rank rank = 0; rank < place.seats(); ++rank) {
      const SeatWords& seat = words.seat(rank);
      if (seat.vacant.load()) continue;
      const StepSummary steps{seat.step_median.load(), seat.step_spread.load()};
      if (steps.median == 0) return std::nullopt;
      if (steps.generous() > slowest.generous()) slowest = steps;
    }
    return slowest;
  }
  /// How long anyone waits for what others do within `steps` steps of theirs, in seconds.
  double patience(std::uint64_t steps, const std::optional<StepSummary>& slowest) const {
    if (options.patience > 0) return options.patience;
    return slowest ? adapted_patience(*slowest, steps) : kFirstPatience;
  }
  double patience(std::uint64_t steps) const { return patience(steps, slowest()); }
  /// Whose newest published parameters are the run's result so far; nobody's before the first
  /// election or publish.
  Address leading() const {
    const Rank rank = live.leader.load();
    const Address best = protocol->has_centre()       ? place.global()
                         : rank != kNobody            ? place.worker(rank)
                         : protocol->shown_on_request ? first_shown()
                         : place.workers() == 1       ? place.worker(0)
                                                      : Address{};
    if (best == Address{} || newest({best, kParameters}) == 0) return {};
    const bool lost = !hosts(best) && best.index < place.seats() &&
                      words.seat(best.index).vacant.load();  // with all its group
    return lost ? Address{} : best;
  }

  /// Where nobody leads: the lowest rank whose parameters are there to be seen.
  Address first_shown() const {
    for (Rank rank = 0; rank < place.seats(); ++rank)
      if (!words.seat(rank).vacant.load() && !words.seat(rank).lost.load() &&
          newest({place.worker(rank), kParameters}) > 0)
        return place.worker(rank);
    return {};
  }

  /// The run's clock, in seconds: for deadlines and signs of life.
  double now() const { return live.clock.now(wall_seconds()); }
  double train_seconds() const { return live.train_seconds(now()); }
  /// How much of the budget is used, in the middle of the step that is being taken: by the clock, by
  /// the steps of all, or, where no order of events may matter, by one's own.
  /// @param own  gradients that the asker has taken; @return in [0, 1]
  /// @param ahead  steps that are being taken and that nobody has counted yet
  double progress(std::uint64_t own, std::uint64_t ahead = 0) const {
    const auto total = static_cast<double>(steps_planned);
    double done = 0;
    if (options.minutes > 0)
      done = train_seconds() / (60 * options.minutes);
    else if (options.deterministic && total > 0)
      done = (static_cast<double>(own + ahead) - 0.5) * place.workers() / total;
    else if (total > 0)
      done = (static_cast<double>(live.steps.load() + ahead) - 0.5) / total;
    return std::clamp(done, 0.0, 1.0);
  }
  /// How the batches of one worker are drawn.
  StreamOptions stream(Rank worker) const {
    StreamOptions stream;
    stream.batch = options.batch;
    stream.image = network.image();
    stream.sampling = options.sampling;
    stream.seed = options.seed;
    stream.worker = worker;
    stream.workers = place.workers();
    if (options.sampling == Sampling::shuffled)
      stream.workers = std::max(worker + 1, stream.workers);
    stream.augment = options.augment;
    stream.decode_threads = options.decode_threads;
    return stream;
  }
};

/// Fills in what follows from the options, the same in every process of the run: place, protocol,
/// hyper, devices, where slots lie, initial, undecayed, the shapes of states, who keeps to which processors.
/// @param options  the context's; gets what was left to defaults
/// @param worker   whose process this is; empty: the run's, where workers that are threads compute, too
Result<> prepare(RunContext& context, RunOptions& options, std::optional<Rank> worker = {});

}  // namespace paceline
