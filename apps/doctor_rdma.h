// What `paceline doctor` says about RDMA: devices, ports, limits, where they lie.
#pragma once

#include <vector>

#include "paceline/apps/finding.h"
#include "paceline/net/verbs/device_list.h"

namespace paceline {

/// What decides the remedies beside the devices themselves.
struct RdmaSurroundings {
  std::vector<std::string> kernel_devices = {};  ///< that the kernel has, seen by libibverbs or not
  std::optional<double> memlock_bytes = {};      ///< the limit; nothing: unlimited
  bool above_limits = false;                     ///< CAP_IPC_LOCK: the limit does not bind
  std::vector<unsigned> memory_nodes = {};       ///< with processors that this process may use
};
RdmaSurroundings rdma_surroundings();

/// One line where there is no RDMA; else one a port, and the limit on locked memory in any case.
/// @param devices  what listing them came to
std::vector<Finding> rdma_findings(const Result<std::vector<RdmaDevice>>& devices,
                                   const RdmaSurroundings& around);

}  // namespace paceline
