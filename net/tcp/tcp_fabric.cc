#include "paceline/net/tcp/tcp_fabric.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/ip/tcp.hpp>
#include <charconv>
#include <cstring>
#include <future>
#include <utility>

#include "paceline/net/stream/hub_internal.h"

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

tcp::endpoint tcp_endpoint(const Hub::Endpoint& endpoint) {
  tcp::endpoint result;
  if (endpoint.size() > result.capacity()) return result;
  result.resize(endpoint.size());
  std::memcpy(result.data(), endpoint.data(), endpoint.size());
  return result;
}

std::string words(const Hub::Endpoint& endpoint) {
  const tcp::endpoint end = tcp_endpoint(endpoint);
  const std::string host = end.address().to_string();
  return end.address().is_v6() ? fmt::format("[{}]:{}", host, end.port())
                               : fmt::format("{}:{}", host, end.port());
}

class TcpFabricImpl final : public Fabric {
 public:
  TcpFabricImpl(const Arena& arena, FabricOptions options)
      : hub_(arena, std::move(options), hooks()) {}

  Result<> listen() {
    const std::string& wanted = hub_.options().listen;
    PACELINE_TRY(const HostAndPort where, split(wanted.empty() ? "127.0.0.1:0" : wanted));
    boost::system::error_code error;
    const auto host = boost::asio::ip::make_address(where.host, error);
    if (error)
      return fail(std::errc::invalid_argument, "'{}' is no numeric address to listen at",
                  where.host);
    if (!host.is_loopback() && hub_.options().reach != FabricOptions::Reach::network)
      return fail(std::errc::permission_denied,
                  "{} can be reached from other hosts, and nothing that a fabric sends is "
                  "encrypted: say that this is meant, or listen at 127.0.0.1",
                  where.host);
    const auto port = static_cast<std::uint16_t>(std::stoul(where.port));
    PACELINE_TRYV(hub_.listen(tcp::endpoint(host, port)));
    address_ = words(hub_.local_endpoint());
    return success();
  }

  const std::string& address() const override { return address_; }

  Result<PeerId> connect(const std::string& address, Deadline deadline) override {
    PACELINE_TRY(const tcp::endpoint endpoint, resolve(address, deadline));
    return hub_.connect(endpoint, address, deadline);
  }

  Result<RemoteSlot> announce(std::uint32_t slot, Deadline deadline) override {
    return hub_.announce(slot, deadline);
  }

  void read(PeerId peer, const RemoteSlot& from, Loan loan, Deadline deadline,
            ReadDone done) override {
    hub_.post(
        [this, peer, from, loan = std::move(loan), deadline, done = std::move(done)]() mutable {
          if (Connection* connection = hub_.find(peer)) {
            connection->requests().read(from, std::move(loan), deadline, std::move(done));
            return hub_.wake_at(deadline);
          }
          { const Loan gone = std::move(loan); }  // FA-6
          done(hub_.why_not(peer));
        });
  }

  void send(PeerId peer, std::uint32_t mailbox, const Letter& letter, Deadline deadline,
            SendDone done) override {
    hub_.post([this, peer, mailbox, letter, deadline, done = std::move(done)]() mutable {
      Connection* connection = hub_.find(peer);
      if (connection == nullptr) return done(hub_.why_not(peer));
      connection->requests().send(mailbox, letter, deadline, std::move(done));
      hub_.wake_at(deadline);
    });
  }

  Result<> drain(Deadline deadline) override { return hub_.drain(deadline); }

 private:
  static Hub::Hooks hooks() {
    Hub::Hooks hooks;
    hooks.words = words;
    hooks.tune = [](int descriptor) {
      const int on = 1;  // frames are gathered here, and go out at once
      setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    };
    return hooks;
  }

  /// @return the first address of that name
  Result<tcp::endpoint> resolve(const std::string& address, Deadline deadline) {
    PACELINE_TRY(const HostAndPort where, split(address));
    const auto promise = std::make_shared<std::promise<Result<tcp::endpoint>>>();
    auto result = promise->get_future();
    const auto resolver = std::make_shared<tcp::resolver>(hub_.context());
    resolver->async_resolve(
        where.host, where.port, tcp::resolver::numeric_service,
        [promise, resolver, address](const auto& error, const auto& found) {
          if (error || found.empty())
            promise->set_value(fail(std::errc::host_unreachable, "no address for {}: {}", address,
                                    error.message()));
          else
            promise->set_value(found.begin()->endpoint());
        });
    if (result.wait_until(deadline) != std::future_status::ready)
      return fail(std::errc::timed_out, "no address for {} in time", address);
    return result.get();
  }

  std::string address_;
  Hub hub_;
};

}  // namespace

Result<std::unique_ptr<Fabric>> TcpFabric::open(const Arena& arena, FabricOptions options) {
  auto fabric = std::make_unique<TcpFabricImpl>(arena, std::move(options));
  PACELINE_TRYV(fabric->listen());
  return std::unique_ptr<Fabric>(std::move(fabric));
}

}  // namespace paceline
