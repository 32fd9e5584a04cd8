#include "paceline/actors/checkpointer.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <thread>

#include "paceline/actors/checkpoint.h"
#include "paceline/actors/evaluator.h"

namespace paceline {
namespace {

using namespace std::chrono_literals;

/// What everyone has answered, pinned in its slot.
struct States {
  std::map<Rank, Pin> workers;
  Pin centre;
  bool in_step = false;  ///< all workers, at one boundary
  double train_seconds = 0;
};

/// Used by one thread, its actor's.
class Checkpointer {
 public:
  Checkpointer(caf::actor_system& system, RunContext& context, caf::actor run)
      : system_(system),
        context_(context),
        words_(context.words.checkpoint),
        options_(context.options),
        run_(std::move(run)) {}

  /// @return whether to be called again
  bool look();
  void begin();
  void halt();
  bool finish();
  std::chrono::milliseconds pace() const { return armed() ? 5ms : 20ms; }

 private:
  /// Workers know beforehand at how many steps they will answer.
  bool armed() const { return context_.common() > 0 && options_.checkpoint_steps > 0; }
  void arm();
  bool due();
  std::uint64_t common_target(std::uint64_t ahead) const;
  std::uint64_t furthest() const;
  bool answered(Rank rank) const;
  /// Seats that are not vacant.
  std::size_t riding() const;

  void ask_for(std::uint64_t at);
  bool await_answers();
  bool save_centre();
  std::optional<States> states();
  std::optional<States> states_now();
  States pin_states() const;
  double patience() const {
    return context_.patience(std::max<std::uint64_t>(1, context_.common()));
  }
  void release() { words_.released.store(words_.asked.load()); }

  bool write(const States& states);
  bool write_all(const States& states);
  void take_model(Checkpoint& checkpoint);
  void fault(std::string text);
  void record(Event event) {
    anonymously_tell(context_.recorder,
                     Observation{Address{}, context_.train_seconds(), std::move(event)});
  }

  caf::actor_system& system_;
  RunContext& context_;
  CheckpointWords& words_;
  const RunOptions& options_;
  const caf::actor run_;
  double next_seconds_ = 0, asked_at_ = 0;  // training seconds; by the run's clock
  std::uint64_t next_steps_ = 0;            // of each worker (or rounds) when armed, else of all
  std::optional<std::uint64_t> written_;    // steps of the last checkpoint
  std::vector<float> model_;                // [P + B]
  bool halted_ = false;
};

void Checkpointer::begin() {
  lower_thread_priority();
  next_seconds_ = context_.train_seconds() + options_.checkpoint_seconds;
  const std::uint64_t every = options_.checkpoint_steps * context_.place.workers();
  if (armed())
    arm();
  else if (every > 0)
    next_steps_ = (context_.live.steps.load() / every + 1) * every;
}

/// Asks for the next one before anyone can be there.
void Checkpointer::arm() {
  next_steps_ = (furthest() / options_.checkpoint_steps + 1) * options_.checkpoint_steps;
  ask_for(next_steps_);
}

bool Checkpointer::look() {
  if (halted_ || context_.budget.stopped()) return false;
  if (armed()) {
    bool anybody = false;
    for (Rank rank = 0; rank < context_.place.seats(); ++rank)
      anybody = anybody || context_.words.seat(rank).saved.load() == words_.asked.load();
    if (!anybody) return true;
    const std::optional<States> found = await_answers() ? states() : std::nullopt;
    arm();  // lets them go on
    if (found) write(*found);
  } else if (due()) {
    if (const std::optional<States> found = states_now()) write(*found);
  }
  return true;
}

bool Checkpointer::due() {
  const double t = context_.train_seconds();
  const std::uint64_t steps = context_.live.steps.load();
  if (options_.checkpoint_seconds > 0 ? t < next_seconds_ : steps < next_steps_) return false;
  next_seconds_ = t + options_.checkpoint_seconds;
  if (const std::uint64_t every = options_.checkpoint_steps * context_.place.workers())
    next_steps_ = (steps / every + 1) * every;
  return true;
}

std::uint64_t Checkpointer::furthest() const {
  std::uint64_t most = 0;
  for (Rank rank = 0; rank < context_.place.seats(); ++rank)
    most = std::max(most, context_.words.seat(rank).place.load());
  return most;
}

/// Where nobody is beyond yet, if nobody is too fast.
std::uint64_t Checkpointer::common_target(std::uint64_t ahead) const {
  const std::uint64_t common = context_.common();
  return common == 0 ? 0 : (furthest() / common + ahead) * common;
}

bool Checkpointer::answered(Rank rank) const {
  const std::uint64_t saved = context_.words.seat(rank).saved.load();
  return saved == words_.asked.load() || saved == kLastState;
}

std::size_t Checkpointer::riding() const {
  std::size_t riding = 0;
  for (Rank rank = 0; rank < context_.place.seats(); ++rank)
    if (!context_.words.seat(rank).vacant.load()) ++riding;
  return riding;
}

void Checkpointer::ask_for(std::uint64_t at) {
  asked_at_ = context_.now();
  words_.at.store(at);
  words_.asked.fetch_add(1);
}

bool Checkpointer::await_answers() {
  double since = context_.now();
  for (std::uint64_t before = 0;; std::this_thread::sleep_for(1ms)) {
    std::string missing;
    for (Rank rank = 0; rank < context_.place.seats(); ++rank)
      if (!answered(rank) && !context_.words.seat(rank).gone.load())
        missing += fmt::format("{}worker {} (after {} steps)", missing.empty() ? "" : ", ", rank,
                               context_.words.seat(rank).steps.load());
    if (missing.empty()) return true;
    if (context_.budget.stopped()) return false;
    const double now = context_.now();
    if (const std::uint64_t steps = context_.live.steps.load(); steps != before) {
      before = steps;
      since = now;
    }
    if (now - since <= patience()) continue;
    fault(fmt::format("no checkpoint: no step for {:.1f} s, and no answer from {}", now - since,
                      missing));
    return false;
  }
}

/// Asks the centre until it is between two messages. Everything that workers told it before they
/// answered is in its mailbox before the question: their answers came through it.
bool Checkpointer::save_centre() {
  const RoleActor& centre = context_.directory[context_.place.global().index];
  caf::scoped_actor self(system_);
  bool saved = false, failed = false;
  for (const double until = context_.now() + patience();
       !saved && !failed && context_.now() < until;) {
    ask(&*self, centre, 10s, SaveState{})
        .receive([&](bool yes) { saved = yes; }, [&](const caf::error&) { failed = true; });
    if (!saved) std::this_thread::sleep_for(1ms);
  }
  if (!saved) fault("no checkpoint: the centre does not answer");
  return saved;
}

States Checkpointer::pin_states() const {
  States found;
  found.train_seconds = context_.train_seconds();
  std::optional<std::uint64_t> place;
  bool same = true;
  for (Rank rank = 0; rank < context_.place.seats(); ++rank) {
    if (!answered(rank)) continue;
    Pin pin = context_.arenas->state_slot(context_.place.worker(rank)).pin();
    if (!pin) continue;
    const std::uint64_t own = state_head(pin.bytes()).place;
    same = same && own == place.value_or(own) && own != kBetween;
    place = own;
    found.workers.emplace(rank, std::move(pin));
  }
  found.in_step = same && found.workers.size() == riding();
  return found;
}

/// After everyone has answered: pinned, with the centre's.
std::optional<States> Checkpointer::states() {
  if (context_.protocol->has_centre() && !save_centre()) return std::nullopt;
  States found = pin_states();
  if (context_.protocol->has_centre())
    found.centre = context_.arenas->state_slot(context_.place.global()).pin();
  if (context_.protocol->has_centre() && !found.centre) {
    fault("no checkpoint: the centre's state cannot be read");
    return std::nullopt;
  }
  if (found.workers.empty()) return std::nullopt;
  return found;
}

/// Asks for states at the next boundary that will do.
std::optional<States> Checkpointer::states_now() {
  std::optional<States> found;
  for (std::uint64_t ahead = context_.common() > 1 ? 1 : 2; ahead < 100; ahead *= 4) {
    ask_for(common_target(ahead));
    if (!await_answers()) break;
    found = states();
    // Where somebody was too fast for a common number, once more, further ahead.
    if (!found || found->in_step || context_.common() == 0) break;
    if (found->workers.size() < riding()) break;  // not all ride any more
  }
  if (!halted_) release();
  return found;
}

void Checkpointer::halt() {
  if (halted_) return;
  halted_ = true;
  const std::optional<States> found = states_now();
  anonymously_tell(run_, Halted{});
  if (found && (found->in_step || context_.common() == 0)) write(*found);
}

bool Checkpointer::finish() {
  if (halted_ && written_) return true;
  asked_at_ = context_.now();
  words_.asked.store(kLastState);  // what is older is no answer
  const std::optional<States> last = states();
  if (!last) return false;
  if (options_.deterministic && !last->in_step && written_) {
    fault("no checkpoint of the end: the workers are not at one step");
    return false;
  }
  return write(*last);
}

// --- Writing

RoleCheckpoint role_checkpoint(const StateShape& shape, const VectorMath& math,
                               std::span<const std::byte> state) {
  const StateHead head = state_head(state);
  RoleCheckpoint role{head.steps, head.rng, head.stream, {}, {}};
  for (const StatePart& part : shape.parts) {
    const std::byte* begin = part_bytes(part, math, state).data();
    if (part.kind == StatePart::Kind::numbers) {
      const auto* numbers = reinterpret_cast<const double*>(begin);
      role.numbers[part.name].assign(numbers, numbers + part.count);
    } else {
      role.vectors[part.name] = {reinterpret_cast<const float*>(begin), part.count};
    }
  }
  return role;
}

bool Checkpointer::write(const States& states) try {
  return write_all(states);
} catch (const std::exception& error) {  // no memory for a copy of the model
  fault(fmt::format("no checkpoint: {}", error.what()));
  return false;
}

bool Checkpointer::write_all(const States& states) {
  const VectorMath& math = context_.device->math();
  Checkpoint c;
  c.protocol = options_.protocol;
  c.network = context_.network.name();
  c.data = context_.data.name;
  c.layout = context_.network.layout().hash();
  c.seed = options_.seed;
  c.seats = static_cast<std::uint32_t>(riding());
  c.train_seconds = states.train_seconds;
  c.leader = context_.live.leader.load();
  c.leader_changes = context_.live.leader_changes.load();
  c.in_step = states.in_step;
  for (Rank rank = 0; rank < context_.place.seats(); ++rank) {
    const auto found = states.workers.find(rank);
    if (found == states.workers.end()) {
      c.steps += context_.words.seat(rank).steps.load();
      continue;
    }
    c.workers[rank] = role_checkpoint(context_.worker_state, math, found->second.bytes());
    c.steps += c.workers[rank].steps;
  }
  if (states.centre) c.centre = role_checkpoint(context_.centre_state, math, states.centre.bytes());
  if (written_ == c.steps) return true;
  take_model(c);
  const auto files = write_checkpoint(options_.directory, c, context_.network.layout(),
                                      checkpoint_metadata(context_.network, context_.data),
                                      options_.keep_checkpoints);
  if (!files) {
    fault("no checkpoint: " + files.error().message);
    return false;
  }
  written_ = c.steps;
  record(CheckpointEvent{c.steps, files.value().path.string(), files.value().bytes,
                         context_.now() - asked_at_, false});
  return true;
}

/// The parameters that lead, with running statistics: a centre's are the workers' mean.
void Checkpointer::take_model(Checkpoint& c) {
  const Layout& layout = context_.network.layout();
  const VectorMath& math = context_.device->math();
  model_.resize(layout.all_elements());
  c.model = model_;
  const Vector x{model_.data(), layout.elements};
  const Vector buffers{model_.data() + layout.elements, layout.buffer_elements};
  if (c.leader < context_.place.seats() && !c.centre) {
    if (const Pin pin = context_.arenas->slot({{c.leader}, kParameters}).pin())
      return math.copy({model_.data(), model_.size()}, {pin.bytes().data(), model_.size()});
  }
  const RoleCheckpoint& best = c.centre ? *c.centre : c.workers.begin()->second;
  math.copy(x, {best.vectors.at("x").data(), x.count});
  if (buffers.count == 0) return;
  std::vector<ConstVector> all;
  for (const auto& [rank, role] : c.workers)
    if (c.centre || all.empty()) all.emplace_back(role.vectors.at("buffers").data(), buffers.count);
  math.mean(buffers, all);
}

void Checkpointer::fault(std::string text) { record(FaultEvent{0, std::move(text)}); }

struct CheckpointerState {
  static constexpr const char* name = "checkpointer";
  std::unique_ptr<Checkpointer> checkpointer;
};

CheckpointerActor::behavior_type checkpointer(
    CheckpointerActor::stateful_pointer<CheckpointerState> self, RunContext* context,
    const caf::actor& run) {
  state(self).checkpointer = std::make_unique<Checkpointer>(self->system(), *context, run);
  const auto again = [=] {
    tell_after(self, CheckpointerActor{self}, state(self).checkpointer->pace(), CheckpointDue{});
  };
  return {
      [=](Begin) {
        state(self).checkpointer->begin();
        again();
      },
      [=](CheckpointDue) {
        if (state(self).checkpointer->look()) again();
      },
      [=](Halt) { state(self).checkpointer->halt(); },
      [=](Finish) { return state(self).checkpointer->finish(); },
  };
}

}  // namespace

CheckpointerActor spawn_checkpointer(caf::actor_system& system, RunContext* context,
                                     const caf::actor& run) {
  return system.spawn<caf::detached>(checkpointer, context, run);
}

}  // namespace paceline
