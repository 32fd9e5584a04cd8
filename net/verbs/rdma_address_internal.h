// The addresses of this host's RDMA devices, as sockaddrs and as people write them. Private to
// net/verbs. Threading: any thread.
#pragma once

#include <rdma/rdma_cma.h>

#include <string>
#include <vector>

#include "paceline/net/inet_address_internal.h"
#include "paceline/net/verbs/verbs_fabric.h"

namespace paceline {

InetEndpoint endpoint_of(const sockaddr* address);
/// Whether that is an address of this host.
bool is_of_this_host(const sockaddr* address);
/// "a0 port 1, GID ::ffff:10.9.0.1", of a connection whose device is known.
std::string words_of_route(rdma_cm_id* id);

}  // namespace paceline
