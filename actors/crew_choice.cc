#include "paceline/actors/crew_choice.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace paceline {
namespace {

using Now = SeatView::Now;

template <class... Args>
Error refusal(fmt::format_string<Args...> text, Args&&... args) {
  return fail(std::errc::invalid_argument, text, std::forward<Args>(args)...);
}

bool rides(const SeatView& seat) { return seat.now == Now::riding || seat.now == Now::awaited; }

/// How many ride, by group; groups where nobody does are not there.
std::map<std::uint32_t, std::uint32_t> riders(std::span<const SeatView> seats) {
  std::map<std::uint32_t, std::uint32_t> riders;
  for (const SeatView& seat : seats)
    if (rides(seat)) ++riders[seat.group];
  return riders;
}

}  // namespace

Result<std::vector<Rank>> choose_to_add(std::span<const SeatView> seats, std::uint32_t n) {
  auto groups = riders(seats);
  std::vector<Rank> free;
  for (Rank rank = 0; rank < seats.size(); ++rank)
    if (seats[rank].now == Now::free && groups.contains(seats[rank].group)) free.push_back(rank);
  if (n > free.size())
    return refusal(
        "{} ride and there are seats for {} more, not for {}: --max-workers (here {}) at "
        "a run's beginning sets how many there are",
        std::ranges::count_if(seats, rides), free.size(), n, seats.size());
  std::vector<Rank> chosen;
  while (chosen.size() < n) {
    const auto best = std::ranges::min_element(
        free, {}, [&](Rank rank) { return std::pair(groups[seats[rank].group], rank); });
    ++groups[seats[*best].group];
    chosen.push_back(*best);
    free.erase(best);
  }
  return chosen;
}

Result<std::vector<Rank>> choose_to_remove(std::span<const SeatView> seats, std::uint32_t n) {
  auto groups = riders(seats);
  std::vector<Rank> riding;
  for (Rank rank = 0; rank < seats.size(); ++rank)
    if (rides(seats[rank])) riding.push_back(rank);
  const std::size_t most = riding.size() - groups.size();
  if (n > most)
    return refusal("{} ride and {}: {} can be removed, not {}; Ctrl-C ends a run", riding.size(),
                   groups.size() <= 1 ? "one has to stay" : "each group keeps one", most, n);
  std::vector<Rank> chosen;
  while (chosen.size() < n) {
    const auto best = std::ranges::max_element(riding, {}, [&](Rank rank) {
      const SeatView& seat = seats[rank];
      return std::tuple(groups[seat.group], seat.now == Now::awaited, !seat.leads, rank);
    });
    --groups[seats[*best].group];
    chosen.push_back(*best);
    riding.erase(best);
  }
  return chosen;
}

}  // namespace paceline
