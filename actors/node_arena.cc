#include "paceline/actors/node_arena.h"

#include <bit>

namespace paceline {
namespace {

constexpr std::string_view kSuffix = "-node";
constexpr std::size_t kLettersOfAWorker = 256, kLettersOfTheNode = 1024;

}  // namespace

Result<NodeArena> NodeArena::create(const Place& place, std::uint64_t layout_hash,
                                    std::uint64_t planned_steps) {
  if (place.workers() >= kMostSenders)
    return fail(std::errc::invalid_argument, "{} workers on one node: at most {}", place.workers(),
                kMostSenders - 1);
  ArenaOptions options;
  options.layout_hash = layout_hash;
  options.board_bytes = RunWords::bytes(place.workers());
  options.mailboxes.push_back(
      {std::max(kLettersOfTheNode, std::bit_ceil<std::size_t>(64 * place.workers()))});
  options.mailboxes.insert(options.mailboxes.end(), place.workers(), {kLettersOfAWorker});
  Result<Arena> arena = fail(std::errc::file_exists, "");
  std::string name;
  for (int run = 0; !arena && arena.error().code == std::errc::file_exists; ++run) {
    name = fmt::format("run{}", run);
    options.name = name + std::string(kSuffix);
    arena = Arena::create(options);
  }
  if (!arena) return std::move(arena).error();
  RunWords::make(arena.value().board(), planned_steps, place.workers());
  return NodeArena(std::move(arena).value(), std::move(name));
}

Result<NodeArena> NodeArena::attach(const std::string& segment, const Place& place,
                                    std::uint64_t layout_hash) {
  PACELINE_TRY(Arena arena, Arena::attach(segment, layout_hash));
  if (!segment.ends_with(kSuffix) || arena.mailboxes() != 1 + place.workers() ||
      arena.board().size() != RunWords::bytes(place.workers()))
    return fail(std::errc::illegal_byte_sequence,
                "{} is not of a run with {} workers: start both from the same options", segment,
                place.workers());
  const std::size_t end = segment.size() - kSuffix.size();
  const std::size_t begin = segment.rfind('.', end) + 1;
  return NodeArena(std::move(arena), segment.substr(begin, end - begin));
}

std::string NodeArena::sibling(std::string_view suffix) const {
  return segment().substr(0, segment().size() - kSuffix.size()) + "-" + std::string(suffix);
}

}  // namespace paceline
