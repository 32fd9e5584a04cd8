// The fabrics by name, and which one `auto` takes. Threading: any thread.
//   FK-1 A fabric that was asked for by name is that one or an error: nothing falls back in silence.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "paceline/net/fabric.h"

namespace paceline {

enum class FabricKind : std::uint8_t { none, automatic, verbs, tcp, shared_memory };

/// Every kind with its word: "none", "auto", "verbs", "tcp", "shared_memory".
const std::vector<std::pair<std::string, FabricKind>>& fabric_words();
const std::string& word_of(FabricKind kind);
/// Of those that open_fabric() takes. @return invalid_argument for another word, naming them
Result<FabricKind> fabric_named(const std::string& word);

struct FabricChoice {
  FabricKind kind = FabricKind::none;  ///< never `automatic`
  std::string why;                     ///< for people
};
/// For processes of one host: what was named; of `automatic`, verbs where an RDMA device has an address,
/// else shared memory.
FabricChoice choose_fabric(FabricKind wanted);

/// @param kind   none of `none` and `automatic`
/// @param arena  outlives the fabric; not a local one where that is shared memory
/// @return as the fabric's own open()
Result<std::unique_ptr<Fabric>> open_fabric(FabricKind kind, Arena& arena, FabricOptions options);

}  // namespace paceline
