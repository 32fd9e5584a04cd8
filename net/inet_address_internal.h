// "host:port", as people write it and as the system wants it. Private to net/. Threading: any thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>

#include "paceline/net/fabric.h"

namespace paceline {

using InetEndpoint = boost::asio::ip::tcp::endpoint;

/// "10.0.0.1:7", "[::1]:7".
std::string in_words(const InetEndpoint& endpoint);
/// @param address  "address:port" or "[address]:port", numeric
Result<InetEndpoint> endpoint_to_listen_at(const std::string& address);
/// @param address  "host:port" or "[host]:port"
/// @param context  that another thread runs
/// @return the first address of that name; host_unreachable, timed_out, invalid_argument
Result<InetEndpoint> resolve(boost::asio::io_context& context, const std::string& address,
                             Deadline deadline);

}  // namespace paceline
