// How streams come to a hub: it listens, and dials. Private to net/. Threading: functions from any
// thread, but those marked.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <functional>
#include <string>

#include "paceline/net/peers/hub_internal.h"
#include "paceline/net/stream/stream_road_internal.h"

namespace paceline {

class StreamDoor {
 public:
  using Protocol = boost::asio::generic::stream_protocol;
  using Endpoint = Protocol::endpoint;

  struct Hooks {
    std::function<std::string(const Endpoint&)> words = {};  ///< for people
    std::function<void(int descriptor)> tune = {};           ///< of a new connection
  };

  /// @param hub  outlives the door, is stopped before it goes, and shuts it
  StreamDoor(Hub& hub, Hooks hooks);

  /// @pre once, before all else
  Result<> listen(const Endpoint& endpoint);
  Endpoint local_endpoint() const { return acceptor_.local_endpoint(); }
  Result<PeerId> connect(const Endpoint& endpoint, const std::string& address, Deadline deadline);
  /// On the I/O thread.
  void shut();

 private:
  void accept();
  std::unique_ptr<Road> road(Protocol::socket socket);

  Hub& hub_;
  const Hooks hooks_;
  boost::asio::basic_socket_acceptor<Protocol> acceptor_;
};

}  // namespace paceline
