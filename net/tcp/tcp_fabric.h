// The fabric over TCP: for nodes without RDMA, and for tests of what needs two nodes. See fabric.h
// for what it guarantees. Bulk goes straight from a pinned buffer into the socket and from the
// socket into the loan; what the kernel copies between is all.
#pragma once

#include <memory>

#include "paceline/net/fabric.h"

namespace paceline {

class TcpFabric {
 public:
  /// @param arena    outlives the fabric
  /// @param options  listen: "address:port", "[address]:port"; port 0: any. Empty: 127.0.0.1:0
  /// @return permission_denied for an address that others than this host reach, unless `reach` says
  /// so; what the system says
  static Result<std::unique_ptr<Fabric>> open(const Arena& arena, FabricOptions options);
};

}  // namespace paceline
