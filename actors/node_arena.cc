#include "paceline/actors/node_arena.h"

#include <bit>

namespace paceline {
namespace {

constexpr std::string_view kSuffix = "-node";
constexpr std::size_t kLettersOfAWorker = 256, kLettersOfTheNode = 1024, kLettersOfVisitors = 64;

}  // namespace

Result<NodeArena> NodeArena::create(const Place& place, std::uint64_t layout_hash,
                                    std::uint64_t planned_steps) {
  if (place.seats() >= kMostSenders - 1)
    return fail(std::errc::invalid_argument, "{} workers on one node: at most {}", place.seats(),
                kMostSenders - 2);
  ArenaOptions options;
  options.layout_hash = layout_hash;
  options.board_bytes = RunWords::bytes(place.seats());
  options.mailboxes.push_back(
      {std::max(kLettersOfTheNode, std::bit_ceil<std::size_t>(64 * place.seats()))});
  options.mailboxes.insert(options.mailboxes.end(), place.seats(), {kLettersOfAWorker});
  options.mailboxes.insert(options.mailboxes.end(), 2, {kLettersOfVisitors});
  Result<Arena> arena = fail(std::errc::file_exists, "");
  std::string name;
  for (int run = 0; !arena && arena.error().code == std::errc::file_exists; ++run) {
    name = fmt::format("run{}", run);
    options.name = name + std::string(kSuffix);
    arena = Arena::create(options);
  }
  if (!arena) return std::move(arena).error();
  RunWords& words = RunWords::make(arena.value().board(), planned_steps, place.seats());
  for (Rank rank = place.workers(); rank < place.seats(); ++rank) words.seat(rank).vacate();
  return NodeArena(std::move(arena).value(), std::move(name));
}

Result<NodeArena> NodeArena::attach(const std::string& segment, const Place& place,
                                    std::uint64_t layout_hash) {
  PACELINE_TRY(Arena arena, Arena::attach(segment, layout_hash));
  if (!segment.ends_with(kSuffix) || arena.mailboxes() != 3 + place.seats() ||
      arena.board().size() != RunWords::bytes(place.seats()))
    return fail(std::errc::illegal_byte_sequence,
                "{} is not of a run with {} workers: start both from the same options", segment,
                place.workers());
  const std::size_t end = segment.size() - kSuffix.size();
  const std::size_t begin = segment.rfind('.', end) + 1;
  return NodeArena(std::move(arena), segment.substr(begin, end - begin));
}

Result<NodeArena> NodeArena::visit(const std::string& segment, std::uint64_t layout_hash) {
  PACELINE_TRY(Arena arena, Arena::attach(segment, layout_hash));
  if (!segment.ends_with(kSuffix) || arena.mailboxes() < 3)
    return fail(std::errc::illegal_byte_sequence, "{} is not of a run", segment);
  return NodeArena(std::move(arena), "");
}

std::string NodeArena::sibling(std::string_view suffix) const {
  return segment().substr(0, segment().size() - kSuffix.size()) + "-" + std::string(suffix);
}

}  // namespace paceline
