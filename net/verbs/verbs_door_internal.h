// How queue pairs come to a hub: by rdma_cm, which listens and dials. Private to net/verbs. Threading:
// functions from any thread, but those marked.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>

#include "paceline/net/peers/hub_internal.h"
#include "paceline/net/verbs/rdma_address_internal.h"
#include "paceline/net/verbs/verbs_road_internal.h"

namespace paceline {

class VerbsDoor {
 public:
  /// @param hub  outlives the door, is stopped before it goes, and shuts it
  explicit VerbsDoor(Hub& hub);
  ~VerbsDoor();

  /// @pre once, before all else
  Result<> listen(const InetEndpoint& endpoint);
  InetEndpoint local_endpoint() const;
  /// @param from  the address to go out from; null: the route says
  Result<PeerId> connect(const InetEndpoint* from, const InetEndpoint& to,
                         const std::string& address, Deadline deadline);
  // In a turn.
  void shut();
  void look();  ///< at its end

 private:
  struct Dial;  // a connection that is being made
  using Event = rdma_cm_event_type;

  void wait();
  void take_events();
  void on_event(rdma_cm_id* id, rdma_cm_id* listener, Event event, int status,
                const rdma_conn_param& asks);
  void on_caller(CmId id, const rdma_conn_param& asks);
  void on_dialled(Dial& dial, Event event, int status);
  Result<> go_on(Dial& dial, Event event, int status);
  void end(Dial& dial, const Error& error);
  Result<VerbsDevice*> device_of(rdma_cm_id* id);
  Result<std::shared_ptr<QueuePair>> pair_on(CmId id);
  std::unique_ptr<Road> road(std::shared_ptr<QueuePair> pair);
  void linger(std::shared_ptr<QueuePair> pair);
  void look_after(QueuePair* pair, Deadline until);

  Hub& hub_;
  struct ChannelRelease {
    void operator()(rdma_event_channel* channel) const { rdma_destroy_event_channel(channel); }
  };
  std::unique_ptr<rdma_event_channel, ChannelRelease> channel_;
  boost::asio::posix::stream_descriptor events_;
  std::map<ibv_context*, std::unique_ptr<VerbsDevice>> devices_;
  CmId listener_;
  std::map<rdma_cm_id*, std::shared_ptr<Dial>> dials_;
  std::map<QueuePair*, std::shared_ptr<QueuePair>> lingering_;
};

}  // namespace paceline
