#include "paceline/net/fabric_kind.h"

#include <algorithm>

#include "paceline/net/shared_memory/shared_memory_fabric.h"
#include "paceline/net/tcp/tcp_fabric.h"
#include "paceline/net/verbs/verbs_fabric.h"

namespace paceline {

const std::vector<std::pair<std::string, FabricKind>>& fabric_words() {
  static const std::vector<std::pair<std::string, FabricKind>> words{
      {"none", FabricKind::none},
      {"auto", FabricKind::automatic},
      {"verbs", FabricKind::verbs},
      {"tcp", FabricKind::tcp},
      {"shared_memory", FabricKind::shared_memory}};
  return words;
}

const std::string& word_of(FabricKind kind) {
  return std::ranges::find(fabric_words(), kind, [](const auto& each) { return each.second; })
      ->first;
}

Result<FabricKind> fabric_named(const std::string& word) {
  for (const auto& [name, kind] : fabric_words())
    if (name == word && kind != FabricKind::none && kind != FabricKind::automatic) return kind;
  return fail(std::errc::invalid_argument, "no fabric '{}': there are tcp, shared_memory and verbs",
              word);
}

FabricChoice choose_fabric(FabricKind wanted) {
  if (wanted != FabricKind::automatic) return {wanted, "as asked for"};
  const auto rdma = rdma_addresses();
  if (!rdma.empty())
    return {FabricKind::verbs,
            fmt::format("{} has a route, at {}", rdma.front().device, rdma.front().address)};
  return {FabricKind::shared_memory, "all groups are on this host, which has no RDMA device"};
}

Result<std::unique_ptr<Fabric>> open_fabric(FabricKind kind, Arena& arena, FabricOptions options) {
  switch (kind) {
    case FabricKind::tcp:
      return TcpFabric::open(arena, std::move(options));
    case FabricKind::shared_memory:
      return SharedMemoryFabric::open(arena, std::move(options));
    case FabricKind::verbs:
      return VerbsFabric::open(arena, std::move(options));
    default:
      return fail(std::errc::invalid_argument, "'{}' is no fabric to open", word_of(kind));
  }
}

}  // namespace paceline
