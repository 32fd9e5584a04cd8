// The RDMA devices of this machine and the state of their ports, for people to read. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "paceline/result.h"

namespace paceline {

/// An address of a port, as the other end of a connection names it.
struct RdmaGid {
  unsigned index = 0;
  std::string address;    ///< "10.9.0.1", "fe80::1"
  std::string kind;       ///< "RoCE v2", "RoCE v1", "InfiniBand or iWARP"
  std::string interface;  ///< the network interface that it belongs to; empty: none
};

struct RdmaPort {
  unsigned number = 1;
  bool active = false;
  std::string state;       ///< "active", "down", "initialised", "armed"
  std::string link_layer;  ///< "Ethernet", "InfiniBand"
  std::uint32_t mtu_bytes = 0, most_mtu_bytes = 0;
  std::vector<RdmaGid> gids;
};

struct RdmaDevice {
  std::string name;                 ///< "mlx5_0"
  std::optional<unsigned> near_to;  ///< the memory node that it is next to, where the machine says
  std::vector<RdmaPort> ports;
  Error error;  ///< why nothing but the name is known; no code: it is
};

/// @return what the system says; no device at all is an empty list
Result<std::vector<RdmaDevice>> rdma_devices();

}  // namespace paceline
