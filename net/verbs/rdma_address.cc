#include <arpa/inet.h>
#include <ifaddrs.h>

#include <cstring>

#include "paceline/net/verbs/rdma_address_internal.h"
#include "paceline/net/verbs/verbs_owner_internal.h"

namespace paceline {
namespace {

std::string words(const ibv_gid& gid) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(AF_INET6, gid.raw, text, sizeof text);
  return text;
}

using DeviceList = VerbsOwner<ibv_device*, ibv_free_device_list>;
using Context = VerbsOwner<ibv_context, ibv_close_device>;

}  // namespace

InetEndpoint endpoint_of(const sockaddr* address) {
  InetEndpoint endpoint;
  const std::size_t bytes =
      address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  endpoint.resize(bytes);
  std::memcpy(endpoint.data(), address, bytes);
  return endpoint;
}

bool is_of_this_host(const sockaddr* address) {
  const auto wanted = endpoint_of(address).address();
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return false;
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> kept(all, freeifaddrs);
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    const auto family = each->ifa_addr->sa_family;
    if ((family == AF_INET || family == AF_INET6) &&
        endpoint_of(each->ifa_addr).address() == wanted)
      return true;
  }
  return false;
}

std::string words_of_route(rdma_cm_id* id) {
  return fmt::format("{} port {}, GID {}", ibv_get_device_name(id->verbs->device), id->port_num,
                     words(id->route.addr.addr.ibaddr.sgid));
}

std::vector<RdmaAddress> rdma_addresses() {
  std::vector<RdmaAddress> found;
  int count = 0;
  const DeviceList devices(ibv_get_device_list(&count));
  for (int i = 0; devices != nullptr && i < count; ++i) {
    const Context context(ibv_open_device(devices.get()[i]));
    if (context == nullptr) continue;
    std::vector<ibv_gid_entry> entries(256);
    const auto filled = ibv_query_gid_table(context.get(), entries.data(), entries.size(), 0);
    entries.resize(filled < 0 ? 0 : static_cast<std::size_t>(filled));
    for (const ibv_gid_entry& entry : entries) {
      ibv_port_attr port = {};
      in6_addr address = {};
      std::memcpy(&address, entry.gid.raw, sizeof address);
      if (!IN6_IS_ADDR_V4MAPPED(&address) || entry.gid_type != IBV_GID_TYPE_ROCE_V2 ||
          ibv_query_port(context.get(), static_cast<std::uint8_t>(entry.port_num), &port) != 0 ||
          port.state != IBV_PORT_ACTIVE)
        continue;
      char text[INET_ADDRSTRLEN] = {};
      inet_ntop(AF_INET, entry.gid.raw + 12, text, sizeof text);
      found.push_back({ibv_get_device_name(devices.get()[i]), entry.port_num, text});
    }
  }
  return found;
}

}  // namespace paceline
