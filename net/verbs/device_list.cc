#include "paceline/net/verbs/device_list.h"

#include <arpa/inet.h>
#include <infiniband/verbs.h>
#include <net/if.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <memory>
#include <span>

namespace paceline {
namespace {

std::uint32_t bytes_of_mtu(ibv_mtu mtu) { return std::uint32_t{128} << mtu; }

std::string state_words(ibv_port_state state) {
  switch (state) {
    case IBV_PORT_ACTIVE:
      return "active";
    case IBV_PORT_INIT:
      return "initialised";
    case IBV_PORT_ARMED:
      return "armed";
    case IBV_PORT_DOWN:
      return "down";
    default:
      return "in no known state";
  }
}

std::string link_layer_words(std::uint8_t layer) {
  switch (layer) {
    case IBV_LINK_LAYER_INFINIBAND:
      return "InfiniBand";
    case IBV_LINK_LAYER_ETHERNET:
      return "Ethernet";
    default:
      return "unspecified link";
  }
}

RdmaGid describe(const ibv_gid_entry& entry) {
  RdmaGid gid;
  gid.index = entry.gid_index;
  const auto* address = reinterpret_cast<const in6_addr*>(entry.gid.raw);
  std::array<char, INET6_ADDRSTRLEN> text = {};
  // IPv4 travels as ::ffff:a.b.c.d.
  if (IN6_IS_ADDR_V4MAPPED(address))
    inet_ntop(AF_INET, entry.gid.raw + 12, text.data(), text.size());
  else
    inet_ntop(AF_INET6, address, text.data(), text.size());
  gid.address = text.data();
  gid.kind = entry.gid_type == IBV_GID_TYPE_ROCE_V2   ? "RoCE v2"
             : entry.gid_type == IBV_GID_TYPE_ROCE_V1 ? "RoCE v1"
                                                      : "InfiniBand or iWARP";
  std::array<char, IF_NAMESIZE> interface = {};
  if (entry.ndev_ifindex != 0 && if_indextoname(entry.ndev_ifindex, interface.data()) != nullptr)
    gid.interface = interface.data();
  return gid;
}

std::vector<ibv_gid_entry> gid_table(ibv_context* context) {
  constexpr std::size_t kMost = 1024;
  std::vector<ibv_gid_entry> entries(kMost);
  const ssize_t found = ibv_query_gid_table(context, entries.data(), entries.size(), 0);
  entries.resize(found > 0 ? static_cast<std::size_t>(found) : 0);
  return entries;
}

std::optional<unsigned> memory_node(const std::string& device) {
  std::ifstream file("/sys/class/infiniband/" + device + "/device/numa_node");
  int node = -1;
  if (file >> node && node >= 0) return static_cast<unsigned>(node);
  return std::nullopt;
}

RdmaDevice describe(ibv_device* listed) {
  RdmaDevice device;
  device.name = ibv_get_device_name(listed);
  device.near_to = memory_node(device.name);
  const std::unique_ptr<ibv_context, decltype(&ibv_close_device)> context(ibv_open_device(listed),
                                                                          &ibv_close_device);
  ibv_device_attr attributes = {};
  if (context == nullptr || ibv_query_device(context.get(), &attributes) != 0) {
    device.error = fail_errno(errno, "it cannot be opened");
    return device;
  }
  const std::vector<ibv_gid_entry> gids = gid_table(context.get());
  for (unsigned number = 1; number <= attributes.phys_port_cnt; ++number) {
    ibv_port_attr port = {};
    if (ibv_query_port(context.get(), static_cast<std::uint8_t>(number), &port) != 0) continue;
    RdmaPort& described = device.ports.emplace_back();
    described.number = number;
    described.active = port.state == IBV_PORT_ACTIVE;
    described.state = state_words(port.state);
    described.link_layer = link_layer_words(port.link_layer);
    described.mtu_bytes = bytes_of_mtu(port.active_mtu);
    described.most_mtu_bytes = bytes_of_mtu(port.max_mtu);
    for (const ibv_gid_entry& entry : gids)
      if (entry.port_num == number) described.gids.push_back(describe(entry));
  }
  return device;
}

}  // namespace

Result<std::vector<RdmaDevice>> rdma_devices() {
  int count = 0;
  errno = 0;
  const std::unique_ptr<ibv_device*, decltype(&ibv_free_device_list)> list(
      ibv_get_device_list(&count), &ibv_free_device_list);
  if (list == nullptr) {
    if (errno == ENOSYS || errno == ENOENT)
      return std::vector<RdmaDevice>();  // no such kernel part
    return fail_errno(errno, "the RDMA devices cannot be listed");
  }
  std::vector<RdmaDevice> devices;
  for (ibv_device* const device : std::span(list.get(), static_cast<std::size_t>(count)))
    devices.push_back(describe(device));
  return devices;
}

}  // namespace paceline
