// Fabrics between nodes, each tried by reading from itself, and what RDMA needs.
#include "paceline/apps/doctor_rdma.h"
#include "paceline/apps/fabric_loopback.h"
#include "paceline/apps/finding.h"
#include "paceline/net/verbs/verbs_fabric.h"

namespace paceline {
namespace {

Finding loopback_finding(const std::string& subject, FabricKind kind, const FabricOptions& options,
                         const char* remedy) {
  const auto rate = loopback_bytes_per_second(kind, options);
  if (!rate) return {subject, Mark::warn, rate.error().message, remedy};
  return {subject, Mark::ok,
          fmt::format("read 16 MiB from itself at {:.2f} GB/s", rate.value() / 1e9), ""};
}

/// Between two arenas of this process: on the way that `paceline train` takes to other nodes.
Finding rdma_loopback(const RdmaAddress& place) {
  FabricOptions options;
  options.listen = place.address + ":0";
  options.reach = FabricOptions::Reach::network;  // for a moment, and with a token nobody knows
  return loopback_finding(fmt::format("fabric verbs, {}", place.address), FabricKind::verbs,
                          options,
                          "what is said above of RDMA and memlock; rdma link, ibv_devinfo -v and "
                          "ip route get show the way");
}

}  // namespace

std::vector<Finding> examine_fabrics() {
  std::vector<Finding> findings{
      loopback_finding("fabric tcp", FabricKind::tcp, {},
                       "ip link set lo up; a firewall that lets 127.0.0.1 through")};
  const auto devices = rdma_devices();
  for (Finding& finding : rdma_findings(devices, rdma_surroundings()))
    findings.push_back(std::move(finding));
  for (const RdmaAddress& place : rdma_addresses()) findings.push_back(rdma_loopback(place));
  return findings;
}

}  // namespace paceline
