// A crew's part in workers that are added and removed while the run goes on (CR-5).
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <span>

#include "paceline/actors/crew.h"

namespace paceline {
namespace {

template <class... Args>
Error refusal(fmt::format_string<Args...> text, Args&&... args) {
  return fail(std::errc::invalid_argument, text, std::forward<Args>(args)...);
}

/// "worker 3", "workers 3 and 4", "workers 3, 4 and 5"
std::string named(std::vector<Rank> ranks) {
  std::ranges::sort(ranks);
  if (ranks.size() == 1) return fmt::format("worker {}", ranks[0]);
  const std::span<const Rank> all(ranks);
  return fmt::format("workers {} and {}", fmt::join(all.first(all.size() - 1), ", "), all.back());
}
const char* were(const std::vector<Rank>& ranks) { return ranks.size() == 1 ? "was" : "were"; }

}  // namespace

void Crew::change(const CrewQuestion& question, CrewDesk& desk) {
  const auto n = static_cast<std::uint32_t>(std::abs(std::int64_t{question.by}));
  Result<std::vector<Rank>> chosen = std::vector<Rank>{};
  if (n == 0)
    chosen = refusal("0 workers more are none: give +1 or -1, say");
  else if (context_.only)
    chosen = refusal("a run with --fabric keeps its workers: none can be added or removed yet");
  else if (context_.options.deterministic)
    chosen = refusal(
        "--deterministic gives the same bits to the same workers alone: none can be "
        "added or removed");
  else if (context_.options.sampling == Sampling::sharded)
    chosen = refusal(
        "--sampling sharded has shared the images out among the workers: only with "
        "--sampling shuffled can they be added or removed");
  else if (context_.budget.exhausted())
    chosen = refusal("the run takes no more steps: it is about to end");
  else
    chosen = question.by > 0 ? choose_to_add(view(), n) : choose_to_remove(view(), n);
  if (!chosen) return desk.answer(question, std::move(chosen).error());
  for (const Rank rank : chosen.value()) {
    const Address seat = context_.place.worker(rank);
    if (question.by < 0 || !context_.place.begins_empty(seat)) continue;
    if (const auto reserved = context_.arenas->reserve(seat); !reserved)
      return desk.answer(question, reserved.error());
  }
  for (const Rank rank : chosen.value()) {
    if (question.by < 0) {
      remove(rank);
    } else if (const auto seated = add(rank); !seated) {  // no process, no memory for one
      record(rank, fmt::format("worker {} could not be added: {}", rank, seated.error().message));
      return desk.answer(question, seated.error());
    }
  }
  changes_.push_back({question, &desk, std::move(chosen).value()});
}

std::vector<SeatView> Crew::view() const {
  using Now = SeatView::Now;
  std::vector<SeatView> views;
  for (Rank rank = 0; rank < seats_.size(); ++rank) {
    const State state = seats_[rank].state;
    SeatView& view = views.emplace_back();
    view.group = context_.place.group(context_.place.worker(rank));
    view.leads = context_.live.leader.load() == rank;
    view.now = seats_[rank].leaving || state == State::ended || state == State::elsewhere
                   ? Now::closed
               : state == State::riding  ? Now::riding
               : state == State::awaited ? Now::awaited
                                         : Now::free;
  }
  return views;
}

Result<> Crew::add(Rank rank) {
  Seat& seat = seats_[rank];
  seat.restarts = 0;
  seat.pause = kFirstPause;
  seat.first = false;
  return this->seat(rank);
}

void Crew::remove(Rank rank) {
  if (seats_[rank].state == State::awaited) return leave_for_good(rank);
  seats_[rank].leaving = true;
  context_.words.seat(rank).dismissed.store(true);
}

void Crew::leave_for_good(Rank rank) {
  SeatWords& words = context_.words.seat(rank);
  words.vacate();
  leave_empty(rank, State::empty);
  ++removed_;
  record(rank, fmt::format("worker {} was removed after {} steps: {} ride", rank,
                           words.steps.load(), riding()));
}

void Crew::settle_changes() {
  std::erase_if(changes_, [&](const Change& change) {
    const auto said = outcome(change);
    if (!said) return false;
    change.desk->answer(change.question, *said);
    return true;
  });
}

std::optional<Result<std::string>> Crew::outcome(const Change& change) const {
  const bool more = change.question.by > 0;
  for (const Rank rank : change.ranks) {
    const Seat& seat = seats_[rank];
    if (more ? rides(rank) && !(seat.state == State::riding && seat.ready) : seat.leaving)
      return std::nullopt;
  }
  const auto done = [&](Rank rank) {
    return more ? rides(rank) : seats_[rank].state == State::empty;
  };
  std::vector<Rank> not_so;
  std::ranges::copy_if(change.ranks, std::back_inserter(not_so), [&](Rank r) { return !done(r); });
  if (not_so.empty())
    return fmt::format("{} {} {}: {} {}", named(change.ranks), were(change.ranks),
                       more ? "added" : "removed", riding(), riding() == 1 ? "rides" : "ride");
  return fail(std::errc::operation_canceled, "{} {} not {}: see the faults in {}", named(not_so),
              were(not_so), more ? "added" : "removed",
              (context_.options.directory / "metrics.jsonl").string());
}

void Crew::changes_end(CrewDesk& desk) {
  for (const Change& change : std::exchange(changes_, {}))
    desk.answer(change.question,
                refusal("the run has ended before {} {} {}", named(change.ranks),
                        were(change.ranks), change.question.by > 0 ? "added" : "removed"));
}

}  // namespace paceline
