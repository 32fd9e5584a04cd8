#include "paceline/actors/run_context.h"

#include "paceline/actors/protocol_settings.h"
#include "paceline/actors/resume.h"
#include "paceline/actors/undecayed.h"

namespace paceline {

namespace {

Result<> open_devices(RunContext& context, const RunOptions& options, std::optional<Rank> worker) {
  PACELINE_TRY(context.turns, DeviceTurns::parse(options.device));
  const DeviceTurns& turns = context.turns;
  const DeviceOptions wanted{.threads = options.threads, .precision = options.precision};
  const std::string& first = turns.of(worker.value_or(0));
  PACELINE_TRY(context.device, turns.open(first, wanted));
  if (worker || options.isolation == Isolation::process) return success();
  for (const std::string& name : turns.kinds())
    if (name != first) {
      PACELINE_TRY(context.more_devices[name], turns.open(name, wanted));
    }
  return success();
}

}  // namespace

Result<> prepare(RunContext& context, RunOptions& options, std::optional<Rank> worker) {
  const Network& network = context.network;
  if (options.sgd.learning_rate == 0) options.sgd.learning_rate = network.learning_rate();
  context.place = options.place();
  context.steps_planned = planned_steps(options, context.data);
  context.protocol = find_protocol(options.protocol);
  PACELINE_TRY(context.hyper,
               context.protocol->hyper(settings_for(*context.protocol, options), context.place));
  PACELINE_TRYV(open_devices(context, options, worker));
  const bool shares = !context.turns.mixed() && context.device->shares_memory();
  if (options.slot_memory == SlotMemory::device && !shares)
    return fail(std::errc::invalid_argument,
                "--slot-memory device: the devices of --device {} cannot read each other's memory: "
                "give host",
                options.device);
  context.slots_on_device = shares && !options.slot_checksums &&
                            options.slot_memory != SlotMemory::host &&
                            options.fabric == FabricKind::none;
  context.initial.resize(network.layout().all_elements());
  network.initialise(context.initial, options.seed);
  if (!options.decay_all) context.undecayed = undecayed_ranges(network.layout());
  options.sgd.undecayed = context.undecayed;
  const auto state = [&](Role role) {
    return state_shape(*context.protocol, context.hyper.get(), role, options.sgd.form,
                       network.layout(), context.device->math());
  };
  if (context.words.checkpoint.kept.load()) {
    context.worker_state = state(Role::worker);
    context.centre_state = state(Role::global);
  }
  if (options.pin) {
    PACELINE_TRY(const std::vector<Processor> all, read_processors());
    context.processors = share_processors(all, context.place, options.threads);
  }
  return success();
}

}  // namespace paceline
