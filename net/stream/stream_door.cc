#include "paceline/net/stream/stream_door_internal.h"

#include <utility>

namespace paceline {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAcceptAgain{100};  // when the system has no descriptors, or the like

}  // namespace

StreamDoor::StreamDoor(Hub& hub, Hooks hooks)
    : hub_(hub), hooks_(std::move(hooks)), acceptor_(hub.context()) {}

std::unique_ptr<Road> StreamDoor::road(Protocol::socket socket) {
  if (hooks_.tune) hooks_.tune(socket.native_handle());
  return std::make_unique<StreamRoad>(std::move(socket), hub_.arena(), hub_.announcements(),
                                      hub_.options().checksums);
}

Result<> StreamDoor::listen(const Endpoint& endpoint) {
  boost::system::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error && endpoint.protocol().family() != AF_UNIX)
    acceptor_.set_option(boost::asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error)
    return fail(static_cast<std::errc>(error.value()), "cannot listen at {}: {}",
                hooks_.words(endpoint), error.message());
  hub_.post([this] { accept(); });
  return success();
}

void StreamDoor::accept() {
  auto socket = std::make_shared<Protocol::socket>(hub_.context());
  const auto from = std::make_shared<Endpoint>();
  acceptor_.async_accept(*socket, *from, [this, socket, from](const auto& error) {
    if (error == boost::asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (error) {
      const auto pause = std::make_shared<boost::asio::steady_timer>(hub_.context(), kAcceptAgain);
      return pause->async_wait([this, pause](const auto& stopped) {
        if (!stopped && acceptor_.is_open()) accept();
      });
    }
    hub_.add_caller(road(std::move(*socket)), hooks_.words(*from));
    accept();
  });
}

Result<PeerId> StreamDoor::connect(const Endpoint& endpoint, const std::string& address,
                                   Deadline deadline) {
  return hub_.connect(address, deadline, [=, this](const Hub::Answer& answer) {
    const auto socket = std::make_shared<Protocol::socket>(hub_.context());
    const auto timer = std::make_shared<boost::asio::steady_timer>(hub_.context(), deadline);
    // Whichever comes first: the timer closes the socket, and so ends the wait for it.
    timer->async_wait([socket](const auto& stopped) {
      boost::system::error_code ignored;
      if (!stopped) socket->close(ignored);
    });
    socket->async_connect(endpoint, [=, this](boost::system::error_code error) {
      timer->cancel();
      if (!error && !socket->is_open()) error = boost::asio::error::operation_aborted;
      if (error == boost::asio::error::operation_aborted)
        return answer(fail(std::errc::timed_out, "{} did not answer in time", address));
      if (error)
        return answer(fail(static_cast<std::errc>(error.value()), "cannot connect to {}: {}",
                           address, error.message()));
      answer(road(std::move(*socket)));
    });
  });
}

void StreamDoor::shut() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
}

}  // namespace paceline
