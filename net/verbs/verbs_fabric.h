// The fabric over RDMA. See fabric.h for what it guarantees. Slots are read by one-sided READs,
// without anything of the peer's process unless what is read changes meanwhile; letters, the
// handshake and signs of life are SENDs over the same queue pair.
//   VB-1 The arena is registered once a device, for remote reading alone; what gets its memory later
//        when it is first read. A queue pair can be read through, and a key is told, only after the
//        peer has proved itself (FA-5).
//   VB-2 Device and GID are those of the route to the peer; the peer's events name them. Where there
//        is none, connecting is an error that says so: nothing is fallen back to.
//   VB-3 A loan stays until the last READ into it has completed, or its queue pair is no more. A read
//        whose deadline has passed posts nothing more; what is on its way is waited for a second,
//        then the connection ends.
//   VB-4 Of a queue pair that fails the first error is told, not the flushes behind it.
//   VB-5 Nobody's receive queue runs dry: a frame is sent only when the peer has said that it has room.
// Reads go into loans of the fabric's own arena.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "paceline/net/fabric.h"

namespace paceline {

class VerbsFabric {
 public:
  /// @param arena    outlives the fabric
  /// @param options  listen: "address:port" of an RDMA device, from which connections go out as well;
  ///                 port 0: any. Empty: the first device's, and the route says where they go out
  /// @return no_such_device, and what to do; of memory that cannot be registered the limit as well
  static Result<std::unique_ptr<Fabric>> open(const Arena& arena, FabricOptions options);
};

/// Where this host can be reached over RDMA: an IPv4 address of an active RoCE port.
struct RdmaAddress {
  std::string device;
  std::uint32_t port = 0;
  std::string address;
};
std::vector<RdmaAddress> rdma_addresses();

}  // namespace paceline
