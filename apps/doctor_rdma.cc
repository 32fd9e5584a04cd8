#include "paceline/apps/doctor_rdma.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "paceline/apps/readable_number.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const char* folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

/// Of the effective capabilities, that of locking memory without a limit.
bool may_lock_without_limit() {
  constexpr int kIpcLock = 14;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("CapEff:"))
      return (std::stoull(line.substr(7), nullptr, 16) >> kIpcLock & 1) != 0;
  return false;
}

std::vector<unsigned> own_memory_nodes() {
  std::vector<unsigned> nodes;
  cpu_set_t mine;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof mine, &mine) != 0) return nodes;
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &mine)) continue;
    const auto folder = fmt::format("/sys/devices/system/cpu/cpu{}", processor);
    for (const std::string& name : names_in(folder.c_str())) {
      if (!name.starts_with("node")) continue;
      const auto node = static_cast<unsigned>(std::stoul(name.substr(4)));
      if (std::ranges::find(nodes, node) == nodes.end()) nodes.push_back(node);
    }
  }
  return nodes;
}

/// The network interface that a port's addresses belong to.
std::string interface_of(const RdmaPort& port) {
  for (const RdmaGid& gid : port.gids)
    if (!gid.interface.empty()) return gid.interface;
  return {};
}

bool has_ipv4(const RdmaPort& port) {
  return std::ranges::any_of(
      port.gids, [](const RdmaGid& gid) { return gid.address.find(':') == std::string::npos; });
}

std::string describe(const RdmaPort& port) {
  std::string text = fmt::format("{}, {}, MTU {} of {}", port.state, port.link_layer,
                                 port.mtu_bytes, port.most_mtu_bytes);
  if (const std::string interface = interface_of(port); !interface.empty())
    text += ", interface " + interface;
  std::vector<std::string> addresses;
  for (const RdmaGid& gid : port.gids)
    addresses.push_back(fmt::format("{} {} ({})", gid.index, gid.address, gid.kind));
  return fmt::format("{}; GIDs: {}", text,
                     addresses.empty() ? "none" : fmt::format("{}", fmt::join(addresses, ", ")));
}

Finding inactive(const std::string& subject, const RdmaPort& port) {
  const std::string interface = interface_of(port);
  const std::string found = describe(port);
  if (port.link_layer == "InfiniBand" && port.state == "initialised")
    return {subject, Mark::warn, found, "the fabric needs a subnet manager: opensm, on one node"};
  if (interface.empty())
    return {subject, Mark::warn, found,
            "plug the cable in, then bring its network interface up (rdma link names it): ip link "
            "set INTERFACE up"};
  return {subject, Mark::warn, found, fmt::format("ip link set {} up, and a cable", interface)};
}

/// What matters first, with its remedy.
Finding port_finding(const RdmaDevice& device, const RdmaPort& port,
                     const RdmaSurroundings& around) {
  const std::string subject = fmt::format("rdma {}/{}", device.name, port.number);
  if (!port.active) return inactive(subject, port);
  std::string found = describe(port);
  if (port.gids.empty() || (port.link_layer == "Ethernet" && !has_ipv4(port)))
    return {subject, Mark::warn, found + "; no IPv4 address",
            fmt::format("ip addr add ADDRESS/24 dev {}",
                        interface_of(port).empty() ? "INTERFACE" : interface_of(port))};
  const std::string distance =
      device.near_to ? fmt::format("; at memory node {}", *device.near_to) : "";
  if (device.near_to && !around.memory_nodes.empty() &&
      std::ranges::find(around.memory_nodes, *device.near_to) == around.memory_nodes.end())
    return {subject, Mark::warn, found + distance + ", whose processors this process may not use",
            fmt::format("numactl --cpunodebind={0} --membind={0} paceline ...", *device.near_to)};
  if (port.link_layer == "Ethernet" && port.mtu_bytes < port.most_mtu_bytes)
    return {subject, Mark::note, found + distance,
            fmt::format("larger packets: ip link set {} mtu {}, on every node and switch",
                        interface_of(port).empty() ? "INTERFACE" : interface_of(port),
                        port.most_mtu_bytes + 104)};  // headers of RoCE v2 over IPv6, and some room
  return {subject, Mark::ok, found + distance, ""};
}

std::vector<Finding> device_findings(const RdmaDevice& device, const RdmaSurroundings& around) {
  const std::string subject = "rdma " + device.name;
  if (device.error.code)
    return {{subject, Mark::warn, device.error.message,
             "let this user read and write /dev/infiniband/uverbs*; in a container: docker run "
             "--device=/dev/infiniband"}};
  if (device.ports.empty()) return {{subject, Mark::warn, "it has no port", "rdma link shows it"}};
  std::vector<Finding> findings;
  for (const RdmaPort& port : device.ports) findings.push_back(port_finding(device, port, around));
  return findings;
}

Finding no_device(const RdmaSurroundings& around) {
  if (!around.kernel_devices.empty())
    return {"rdma", Mark::warn,
            fmt::format("the kernel has {}, and libibverbs does not see it",
                        fmt::join(around.kernel_devices, ", ")),
            "apt-get install ibverbs-providers; modprobe ib_uverbs; in a container: docker run "
            "--device=/dev/infiniband"};
  return {"rdma", Mark::note, "no device: other nodes are reached over TCP",
          "with a card: its driver (modprobe mlx5_ib); in software: modprobe rdma_rxe && rdma link "
          "add rxe0 type rxe netdev INTERFACE"};
}

Finding memlock_finding(const RdmaSurroundings& around, bool devices) {
  /// Arenas of many workers and large networks take more.
  constexpr double kComfortable = 64.0 * (1 << 30);
  if (!around.memlock_bytes) return {"memlock", Mark::ok, "unlimited", ""};
  const std::string limit = readable_bytes(*around.memlock_bytes);
  if (around.above_limits)
    return {"memlock", Mark::ok, limit + ", which does not bind this process (CAP_IPC_LOCK)", ""};
  if (!devices)
    return {"memlock", Mark::note, limit + ": enough for one machine",
            "ulimit -l unlimited, before RDMA is used between machines"};
  return {"memlock", *around.memlock_bytes < kComfortable ? Mark::warn : Mark::note,
          limit + ": an arena that is larger cannot be registered with an RDMA device",
          "ulimit -l unlimited; for good: '* - memlock unlimited' in /etc/security/limits.conf; "
          "docker run --ulimit memlock=-1"};
}

}  // namespace

RdmaSurroundings rdma_surroundings() {
  RdmaSurroundings around;
  around.kernel_devices = names_in("/sys/class/infiniband");
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur != RLIM_INFINITY) around.memlock_bytes = static_cast<double>(limit.rlim_cur);
  around.above_limits = may_lock_without_limit();
  around.memory_nodes = own_memory_nodes();
  return around;
}

std::vector<Finding> rdma_findings(const Result<std::vector<RdmaDevice>>& devices,
                                   const RdmaSurroundings& around) {
  std::vector<Finding> findings;
  if (!devices) {
    findings.push_back({"rdma", Mark::warn, devices.error().message, "modprobe ib_uverbs"});
  } else if (devices.value().empty()) {
    findings.push_back(no_device(around));
  } else {
    for (const RdmaDevice& device : devices.value())
      std::ranges::move(device_findings(device, around), std::back_inserter(findings));
  }
  findings.push_back(memlock_finding(around, devices && !devices.value().empty()));
  return findings;
}

}  // namespace paceline
