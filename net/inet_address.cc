#include "inet_address_internal.h"

#include <charconv>
#include <future>
#include <memory>

namespace paceline {
namespace {

using boost::asio::ip::tcp;

struct HostAndPort {
  std::string host, port;
};

/// "host:port" or "[host]:port".
Result<HostAndPort> split(const std::string& address) {
  const auto colon = address.rfind(':');
  const auto wrong = [&] {
    return fail(std::errc::invalid_argument, "'{}' is no address: host:port or [host]:port",
                address);
  };
  if (colon == std::string::npos || colon == 0) return wrong();
  HostAndPort parts{address.substr(0, colon), address.substr(colon + 1)};
  if (parts.host.front() == '[' && parts.host.back() == ']')
    parts.host = parts.host.substr(1, parts.host.size() - 2);
  std::uint16_t port = 0;
  const char* end = parts.port.data() + parts.port.size();
  const auto [stop, error] = std::from_chars(parts.port.data(), end, port);
  if (error != std::errc() || stop != end || parts.host.empty()) return wrong();
  return parts;
}

}  // namespace

std::string in_words(const InetEndpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, endpoint.port())
                                    : fmt::format("{}:{}", host, endpoint.port());
}

Result<InetEndpoint> endpoint_to_listen_at(const std::string& address) {
  PACELINE_TRY(const HostAndPort where, split(address));
  boost::system::error_code error;
  const auto host = boost::asio::ip::make_address(where.host, error);
  if (error)
    return fail(std::errc::invalid_argument, "'{}' is no numeric address to listen at", where.host);
  return InetEndpoint(host, static_cast<std::uint16_t>(std::stoul(where.port)));
}

Result<InetEndpoint> resolve(boost::asio::io_context& context, const std::string& address,
                             Deadline deadline) {
  PACELINE_TRY(const HostAndPort where, split(address));
  const auto promise = std::make_shared<std::promise<Result<InetEndpoint>>>();
  auto result = promise->get_future();
  const auto resolver = std::make_shared<tcp::resolver>(context);
  resolver->async_resolve(
      where.host, where.port, tcp::resolver::numeric_service,
      [promise, resolver, address](const auto& error, const auto& found) {
        if (error || found.empty())
          promise->set_value(
              fail(std::errc::host_unreachable, "no address for {}: {}", address, error.message()));
        else
          promise->set_value(found.begin()->endpoint());
      });
  if (result.wait_until(deadline) != std::future_status::ready)
    return fail(std::errc::timed_out, "no address for {} in time", address);
  return result.get();
}

}  // namespace paceline
