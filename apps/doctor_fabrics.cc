// Fabrics between nodes, each tried by reading from itself, and what RDMA needs.
#include "paceline/apps/doctor_rdma.h"
#include "paceline/apps/finding.h"
#include "paceline/apps/named_fabric.h"

namespace paceline {
namespace {

Finding loopback_finding(const std::string& subject, const std::string& name,
                         const FabricOptions& options, const char* remedy) {
  const auto rate = loopback_bytes_per_second(name, options);
  if (!rate) return {subject, Mark::warn, rate.error().message, remedy};
  return {subject, Mark::ok,
          fmt::format("read 16 MiB from itself at {:.2f} GB/s", rate.value() / 1e9), ""};
}

}  // namespace

std::vector<Finding> examine_fabrics() {
  std::vector<Finding> findings{loopback_finding(
      "fabric tcp", "tcp", {}, "ip link set lo up; a firewall that lets 127.0.0.1 through")};
  const auto devices = rdma_devices();
  for (Finding& finding : rdma_findings(devices, rdma_surroundings()))
    findings.push_back(std::move(finding));
  return findings;
}

}  // namespace paceline
