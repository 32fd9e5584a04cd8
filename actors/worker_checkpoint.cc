// A worker's part in checkpoints (actors/checkpointer.h), on the engine's thread.
#include <stdexcept>
#include <thread>

#include "paceline/actors/worker.h"

namespace paceline {

/// Where the worker is, as checkpoints count.
std::uint64_t WorkerHost::boundary() const {
  return context_.protocol->synchronous ? rounds() : steps();
}

void WorkerHost::answer_checkpoint() {
  using namespace std::chrono_literals;
  constexpr double kWaits = 4;  // of the checkpointer's own patience: it is long gone then
  const CheckpointWords& words = context_.words.checkpoint;
  boundary_steps_ = steps();
  seat_.place.store(boundary());
  for (;;) {
    const std::uint64_t asked = words.asked.load();
    if (asked == 0 || saved_ == asked || boundary() < words.at.load()) return;
    if (!save(asked) || !context_.pauses()) return;
    const double until =
        context_.now() + kWaits * context_.patience(std::max<std::uint64_t>(1, context_.common()));
    while (words.asked.load() == asked && words.released.load() < asked) {
      if (context_.budget.stopped() || context_.now() > until) return;
      std::this_thread::sleep_for(200us);
    }
    if (words.asked.load() == asked) return;
  }
}

bool WorkerHost::save(std::uint64_t request) {
  if (context_.worker_state.bytes == 0) return false;
  auto loan = context_.arenas->state_slot(self()).loan();
  if (!loan) return false;  // the next boundary will do
  const std::uint64_t at = steps() == boundary_steps_ ? boundary() : kBetween;
  save_state(*this, context_.worker_state, at, engine_->stream(), engine_->buffers(),
             loan->bytes());
  std::move(*loan).publish();
  saved_ = request;
  if (context_.protocol->has_centre())  // which tells the rest, when it has what was sent to it
    anonymously_tell(context_.directory[place().global().index], Saved{self().index, request});
  else
    seat_.saved.store(request);
  return true;
}

void WorkerHost::restore() {
  if (!seat_.continues.exchange(false)) return;
  const Pin state = context_.arenas->state_slot(self()).pin();
  if (!state) throw std::runtime_error("the state to go on from cannot be read");
  const StateHead head = state_head(state.bytes());
  StreamState stream = head.stream;
  if (head.fresh) stream = {.epoch = head.stream.epoch, .rng = engine_->stream().rng};
  restore_state(*this, context_.worker_state, state.bytes());
  engine_->restore(stream, buffers_of(context_.worker_state, state.bytes()));
}

}  // namespace paceline
