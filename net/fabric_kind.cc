#include "paceline/net/fabric_kind.h"

#include <algorithm>

#include "paceline/net/shared_memory/shared_memory_fabric.h"
#include "paceline/net/tcp/tcp_fabric.h"

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

FabricChoice choose_fabric(FabricKind wanted) {
  if (wanted != FabricKind::automatic) return {wanted, "as asked for"};
  return {FabricKind::shared_memory,
          "all groups are on this host, and this build has no RDMA fabric"};
}

Result<std::unique_ptr<Fabric>> open_fabric(FabricKind kind, Arena& arena, FabricOptions options) {
  switch (kind) {
    case FabricKind::tcp:
      return TcpFabric::open(arena, std::move(options));
    case FabricKind::shared_memory:
      return SharedMemoryFabric::open(arena, std::move(options));
    default:
      return fail(std::errc::function_not_supported,
                  "this build has no fabric over {}: give tcp or shared_memory", word_of(kind));
  }
}

}  // namespace paceline
