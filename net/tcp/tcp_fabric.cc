#include "paceline/net/tcp/tcp_fabric.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "paceline/net/inet_address_internal.h"
#include "paceline/net/stream/stream_door_internal.h"

namespace paceline {
namespace {

using boost::asio::ip::tcp;

tcp::endpoint tcp_endpoint(const StreamDoor::Endpoint& endpoint) {
  tcp::endpoint result;
  if (endpoint.size() > result.capacity()) return result;
  result.resize(endpoint.size());
  std::memcpy(result.data(), endpoint.data(), endpoint.size());
  return result;
}

std::string words(const StreamDoor::Endpoint& endpoint) { return in_words(tcp_endpoint(endpoint)); }

class TcpFabricImpl final : public Fabric {
 public:
  TcpFabricImpl(const Arena& arena, FabricOptions options)
      : hub_(arena, std::move(options), hooks()), door_(hub_, door_hooks()) {}
  ~TcpFabricImpl() override { hub_.stop(); }  // it shuts the door

  Result<> listen() {
    const std::string& wanted = hub_.options().listen;
    PACELINE_TRY(const tcp::endpoint where,
                 endpoint_to_listen_at(wanted.empty() ? "127.0.0.1:0" : wanted));
    if (!where.address().is_loopback() && hub_.options().reach != FabricOptions::Reach::network)
      return fail(std::errc::permission_denied,
                  "{} can be reached from other hosts, and nothing that a fabric sends is "
                  "encrypted: say that this is meant, or listen at 127.0.0.1",
                  where.address().to_string());
    PACELINE_TRYV(door_.listen(where));
    address_ = words(door_.local_endpoint());
    return success();
  }

  const std::string& address() const override { return address_; }

  Result<PeerId> connect(const std::string& address, Deadline deadline) override {
    PACELINE_TRY(const tcp::endpoint endpoint, resolve(hub_.context(), address, deadline));
    return door_.connect(endpoint, address, deadline);
  }

  Result<RemoteSlot> announce(std::uint32_t slot, Deadline deadline) override {
    return hub_.announce(slot, deadline);
  }

  void read(PeerId peer, const RemoteSlot& from, Loan loan, Deadline deadline,
            ReadDone done) override {
    hub_.read(peer, from, std::move(loan), deadline, std::move(done));
  }

  void send(PeerId peer, std::uint32_t mailbox, const Letter& letter, Deadline deadline,
            SendDone done) override {
    hub_.send(peer, mailbox, letter, deadline, std::move(done));
  }

  Result<> drain(Deadline deadline) override { return hub_.drain(deadline); }

 private:
  Hub::Hooks hooks() {
    Hub::Hooks hooks;
    hooks.shut_door = [this] { door_.shut(); };
    return hooks;
  }
  static StreamDoor::Hooks door_hooks() {
    StreamDoor::Hooks hooks;
    hooks.words = words;
    hooks.tune = [](int descriptor) {
      const int on = 1;  // frames are gathered here, and go out at once
      setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    };
    return hooks;
  }

  std::string address_;
  Hub hub_;
  StreamDoor door_;
};

}  // namespace

Result<std::unique_ptr<Fabric>> TcpFabric::open(const Arena& arena, FabricOptions options) {
  auto fabric = std::make_unique<TcpFabricImpl>(arena, std::move(options));
  PACELINE_TRYV(fabric->listen());
  return std::unique_ptr<Fabric>(std::move(fabric));
}

}  // namespace paceline
