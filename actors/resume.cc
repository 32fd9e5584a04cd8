#include "paceline/actors/resume.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace paceline {
namespace {

/// Workers of a deterministic run have all taken as many.
std::uint64_t common_steps(const Checkpoint& from) { return from.workers.begin()->second.steps; }

/// Fills a state from a role of the checkpoint, or as a newcomer's.
/// @param with_kept  whether the protocol's own vectors still belong to each other
void fill(const RunContext& context, const StateShape& shape, const RoleCheckpoint* role,
          const StateHead& head, bool with_kept, std::span<std::byte> to) {
  const VectorMath& math = context.device->math();
  std::memcpy(to.data(), &head, sizeof head);
  const std::span<const float> model = context.options.resume->model;
  for (const StatePart& part : shape.parts) {
    const std::span<std::byte> bytes = part_bytes(part, math, to);
    if (part.kind == StatePart::Kind::numbers) {
      std::memset(bytes.data(), 0, bytes.size());
      const auto found = role ? role->numbers.find(part.name) : decltype(role->numbers.end()){};
      if (role && found != role->numbers.end() && found->second.size() == part.count)
        std::memcpy(bytes.data(), found->second.data(), bytes.size());
      continue;
    }
    const bool of_model = part.name == "x" || part.kind == StatePart::Kind::buffers;
    const bool own = of_model || part.name == "momentum" || with_kept;
    std::span<const float> values;
    if (of_model) values = part.name == "x" ? model.first(part.count) : model.last(part.count);
    if (role && own)
      if (const auto found = role->vectors.find(part.name); found != role->vectors.end())
        values = found->second;
    const Vector out{bytes.data(), part.count};
    if (values.empty())
      math.fill(out, 0);
    else
      math.copy(out, {values.data(), values.size()});
  }
}

void publish_state(const RunContext& context, Address owner,
                   const std::function<void(std::span<std::byte>)>& write) {
  auto loan = context.arenas->state_slot(owner).loan();
  PACELINE_CHECK(loan, "{} has no room for its state", context.place.name(owner));
  write(loan->bytes());
  std::move(*loan).publish();
}

}  // namespace

std::uint64_t planned_steps(const RunOptions& o, const Data& data) {
  if (o.steps) return o.steps * o.workers;
  const double steps =
      std::ceil(o.epochs * static_cast<double>(data.train->size()) / static_cast<double>(o.batch));
  if (!o.deterministic) return static_cast<std::uint64_t>(steps);
  return static_cast<std::uint64_t>(std::ceil(steps / o.workers)) * o.workers;
}

std::uint64_t planned_for_group(const Place& place, std::uint64_t planned, std::uint32_t group) {
  if (planned == 0) return 0;
  const std::uint64_t share = planned * (group + 1) / place.groups - planned * group / place.groups;
  return std::max<std::uint64_t>(share, 1);  // 0 is: no bound
}

Result<> check_resume(const RunOptions& options, const Network& network, std::uint64_t planned) {
  const Checkpoint& from = *options.resume;
  const std::string run = options.directory.string();
  const auto refuse = [&](const std::string& text) {
    return fail(std::errc::invalid_argument, "--resume {}: {}", run, text);
  };
  if (from.protocol != options.protocol)
    return refuse(fmt::format("was trained with --protocol {}, not {}: leave the option out",
                              from.protocol, options.protocol));
  if (from.layout != network.layout().hash())
    return refuse(fmt::format("trains the network {}, not {}: leave the option out", from.network,
                              network.name()));
  if (from.seed != options.seed)
    return refuse(fmt::format("was begun with --seed {}, not {}: leave the option out", from.seed,
                              options.seed));
  if (from.workers.empty() || (find_protocol(from.protocol)->has_centre() && !from.centre))
    return refuse(fmt::format("{} holds no worker", from.path.string()));
  if (options.deterministic && !from.in_step)
    return refuse(
        fmt::format("{} was not taken at one step of all workers: leave --deterministic out",
                    from.path.string()));
  const std::uint64_t before = steps_before(options);
  if (planned > 0 && before >= planned)
    return refuse(fmt::format(
        "has taken its {} steps, {} a worker: give a larger budget, --steps {}, say", before,
        before / options.workers, 2 * std::max<std::uint64_t>(1, before / options.workers)));
  if (options.minutes > 0 && from.train_seconds >= 60 * options.minutes)
    return refuse(fmt::format("has trained its {} minutes: give a larger budget, --minutes {}, say",
                              options.minutes, 2 * options.minutes));
  return success();
}

std::uint64_t steps_before(const RunOptions& options) {
  const Checkpoint& from = *options.resume;
  return options.deterministic ? common_steps(from) * options.workers : from.steps;
}

void put_back(RunContext& context) {
  const RunOptions& options = context.options;
  const Checkpoint& from = *options.resume;
  const Place& place = context.place;
  std::copy(from.model.begin(), from.model.end(), context.initial.begin());

  const bool same_workers = from.in_step && from.seats == place.workers() &&
                            from.workers.size() == from.seats &&
                            from.workers.rbegin()->first < from.seats;  // not others of as many
  std::uint64_t epoch = ~0ull;  // who once replaced another is far ahead of all (WorkerHost::build)
  for (const auto& [rank, role] : from.workers) epoch = std::min(epoch, role.stream.epoch);
  for (Rank rank = 0; rank < place.workers(); ++rank) {
    const auto found = from.workers.find(rank);
    const RoleCheckpoint* role = found == from.workers.end() ? nullptr : &found->second;
    StateHead head;
    if (role)
      head = {role->steps, role->rng, role->stream, 0, 0};
    else
      head = {options.deterministic ? common_steps(from) : 0, 0, {.epoch = epoch}, 0, 1};
    // Another number of workers shares the images out anew.
    if (role && options.sampling == Sampling::sharded && from.seats != place.workers())
      head.stream.position = 0;
    publish_state(context, place.worker(rank), [&](std::span<std::byte> to) {
      fill(context, context.worker_state, role, head, same_workers, to);
    });
    SeatWords& seat = context.words.seat(rank);
    seat.steps.store(head.steps);
    seat.continues.store(true);
  }
  if (context.centre_state.bytes > 0) {
    const RoleCheckpoint* centre = from.centre ? &*from.centre : nullptr;
    const StateHead head{0, centre ? centre->rng : 0, {}, 0, centre ? 0u : 1u};
    publish_state(context, place.global(), [&](std::span<std::byte> to) {
      fill(context, context.centre_state, centre, head, same_workers, to);
    });
  }

  context.budget.begin_at(steps_before(options));
  context.live.steps.store(steps_before(options));
  context.live.leader_changes.store(from.leader_changes);
  if (from.leader < place.workers()) context.live.leader.store(from.leader);
}

}  // namespace paceline
