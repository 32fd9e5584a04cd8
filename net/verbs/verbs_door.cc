#include "paceline/net/verbs/verbs_door_internal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace paceline {
namespace {

using std::chrono::milliseconds;

constexpr int kBacklog = 128;
constexpr milliseconds kLookAgain{2};      // whether last words have gone
constexpr milliseconds kLinger{1000};      // until last words have gone, or never will
constexpr std::uint8_t kTimeout = 16;      // 4.1 µs * 2^16: 0.27 s until it is sent again
constexpr int kRejectedNobodyListens = 8;  // IB_CM_REJ_INVALID_SERVICE_ID

Error no_device(const InetEndpoint& endpoint) {
  return fail(
      std::errc::no_such_device,
      "no RDMA device has {}: give an address of one that `rdma link` and `ip address` show, "
      "or use TCP",
      in_words(endpoint));
}

sockaddr* address_of(InetEndpoint& endpoint) { return endpoint.data(); }

}  // namespace

struct VerbsDoor::Dial {
  CmId id;  // until there is a queue pair
  std::shared_ptr<QueuePair> pair;
  Hub::Answer answer;
  std::string address;
  boost::asio::steady_timer timer;
  bool ended = false;
};

VerbsDoor::VerbsDoor(Hub& hub) : hub_(hub), events_(hub.context()) {}

VerbsDoor::~VerbsDoor() {
  // What the system has said of these and nobody has taken would keep them for ever.
  dials_.clear();
  lingering_.clear();
}

Result<VerbsDevice*> VerbsDoor::device_of(rdma_cm_id* id) {
  auto& device = devices_[id->verbs];
  if (device == nullptr) {
    // Strangers can take no more places than the hub gives them; some linger.
    const std::uint32_t peers = 2 * hub_.options().most_peers + 8;
    auto opened = VerbsDevice::open(hub_.turns(), id->verbs, hub_.arena(), peers);
    if (!opened) {
      devices_.erase(id->verbs);
      return opened.error();
    }
    device = std::move(opened).value();
    hub_.post([started = device.get()] { started->start(); });
  }
  return device.get();
}

Result<std::shared_ptr<QueuePair>> VerbsDoor::pair_on(CmId id) {
  PACELINE_TRY(VerbsDevice * device, device_of(id.get()));
  return QueuePair::create(hub_.turns(), *device, std::move(id));
}

std::unique_ptr<Road> VerbsDoor::road(std::shared_ptr<QueuePair> pair) {
  return std::make_unique<VerbsRoad>(
      hub_.turns(), std::move(pair), hub_.arena(), hub_.announcements(), hub_.options().checksums,
      [this](std::shared_ptr<QueuePair> last) { linger(std::move(last)); });
}

void VerbsDoor::linger(std::shared_ptr<QueuePair> pair) {
  QueuePair* const each = pair.get();
  lingering_.emplace(each, std::move(pair));
  look_after(each, FabricClock::now() + kLinger);
}

void VerbsDoor::look_after(QueuePair* pair, Deadline until) {
  const auto timer = std::make_shared<boost::asio::steady_timer>(hub_.context(), kLookAgain);
  timer->async_wait(hub_.turns().handler([this, timer, pair, until](const auto& stopped) {
    const auto found = lingering_.find(pair);
    if (stopped || found == lingering_.end()) return;
    if (!pair->has_posted() || FabricClock::now() >= until)
      lingering_.erase(found);
    else
      look_after(pair, until);
  }));
}

// ---- Listening ----

Result<> VerbsDoor::listen(const InetEndpoint& endpoint) {
  channel_.reset(rdma_create_event_channel());
  if (channel_ == nullptr)
    return fail(
        std::errc::no_such_device,
        "no RDMA here: {} (load rdma_ucm, see that /dev/infiniband/rdma_cm is this user's to "
        "open)",
        std::strerror(errno));
  fcntl(channel_->fd, F_SETFL, fcntl(channel_->fd, F_GETFL) | O_NONBLOCK);
  rdma_cm_id* made = nullptr;
  if (rdma_create_id(channel_.get(), &made, nullptr, RDMA_PS_TCP) != 0)
    return fail_errno(errno, "rdma_cm gives no identifier");
  listener_.reset(made);
  InetEndpoint where = endpoint;
  if (where.address().is_loopback()) return no_device(endpoint);
  if (rdma_bind_addr(made, address_of(where)) != 0) {
    if (errno == ENODEV || errno == EADDRNOTAVAIL) return no_device(endpoint);
    return fail_errno(errno, "cannot listen at {} over RDMA", in_words(endpoint));
  }
  if (made->verbs != nullptr)
    PACELINE_TRYV(device_of(made));
  else if (!where.address().is_unspecified())
    return no_device(endpoint);
  if (rdma_listen(made, kBacklog) != 0)
    return fail_errno(errno, "cannot listen at {} over RDMA", in_words(endpoint));
  events_.assign(dup(channel_->fd));
  hub_.post([this] { wait(); });
  return success();
}

InetEndpoint VerbsDoor::local_endpoint() const {
  return endpoint_of(rdma_get_local_addr(listener_.get()));
}

void VerbsDoor::shut() { listener_.reset(); }

void VerbsDoor::look() {
  for (const auto& [context, device] : devices_)
    if (device != nullptr) device->look();
}

void VerbsDoor::on_caller(CmId id, const rdma_conn_param& asks) {
  const sockaddr* from = rdma_get_peer_addr(id.get());
  const std::string address = in_words(endpoint_of(from));
  if (listener_ == nullptr ||
      (hub_.options().reach == FabricOptions::Reach::this_host && !is_of_this_host(from))) {
    rdma_reject(id.get(), nullptr, 0);
    if (listener_ != nullptr)
      hub_.options().on_event(
          {PeerEvent::Kind::refused,
           {},
           address,
           fail(std::errc::permission_denied,
                "{} is another host, and nothing that a fabric sends is encrypted: say that it may "
                "connect",
                address)});
    return;
  }
  auto pair = pair_on(std::move(id));
  if (!pair) {
    hub_.options().on_event({PeerEvent::Kind::refused, {}, address, pair.error()});
    return;
  }
  pair.value()->limit_reads(asks.responder_resources, asks.initiator_depth);
  if (const auto accepted = pair.value()->accept(); !accepted) {
    hub_.options().on_event({PeerEvent::Kind::refused, {}, address, accepted.error()});
    return;
  }
  hub_.add_caller(road(std::move(pair).value()), address);
}

// ---- Dialling ----

Result<PeerId> VerbsDoor::connect(const InetEndpoint* from, const InetEndpoint& to,
                                  const std::string& address, Deadline deadline) {
  if (to.address().is_loopback()) return no_device(to);
  const auto source = from != nullptr ? std::optional(*from) : std::nullopt;
  return hub_.connect(address, deadline, [=, this](const Hub::Answer& answer) {
    rdma_cm_id* made = nullptr;
    if (rdma_create_id(channel_.get(), &made, nullptr, RDMA_PS_TCP) != 0)
      return answer(fail_errno(errno, "rdma_cm gives no identifier"));
    const auto dial = std::make_shared<Dial>(Dial{
        CmId(made), nullptr, answer, address, boost::asio::steady_timer(hub_.context(), deadline)});
    dials_.emplace(made, dial);
    dial->timer.async_wait(hub_.turns().handler([this, dial](const auto& stopped) {
      if (!stopped)
        end(*dial, fail(std::errc::timed_out, "{} did not answer in time", dial->address));
    }));
    auto here = source.value_or(InetEndpoint()), there = to;
    if (source) here.port(0);
    const auto left = std::chrono::ceil<milliseconds>(deadline - FabricClock::now()).count();
    if (rdma_resolve_addr(made, source ? address_of(here) : nullptr, address_of(there),
                          static_cast<int>(std::clamp<std::int64_t>(left, 1, 60'000))) != 0)
      end(*dial, fail_errno(errno, "no route over RDMA to {}", address));
  });
}

void VerbsDoor::end(Dial& dial, const Error& error) {
  if (std::exchange(dial.ended, true)) return;
  rdma_cm_id* const id = dial.pair != nullptr ? dial.pair->id() : dial.id.get();
  const auto kept = dials_.extract(id);
  dial.timer.cancel();
  dial.pair.reset();
  dial.id.reset();
  dial.answer(error);
}

Result<> VerbsDoor::go_on(Dial& dial, Event event, int status) {
  switch (event) {
    case RDMA_CM_EVENT_ADDR_RESOLVED: {
      rdma_cm_id* const id = dial.id.get();
      if (id->verbs == nullptr)
        return fail(std::errc::no_such_device, "the route to {} leads over no RDMA device",
                    dial.address);
      const std::uint8_t timeout = kTimeout;
      rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT,
                      const_cast<std::uint8_t*>(&timeout), sizeof timeout);
      if (rdma_resolve_route(id, 5'000) != 0)
        return fail_errno(errno, "no route over RDMA to {}", dial.address);
      return success();
    }
    case RDMA_CM_EVENT_ROUTE_RESOLVED: {
      PACELINE_TRY(dial.pair, pair_on(std::move(dial.id)));
      return dial.pair->connect();
    }
    case RDMA_CM_EVENT_CONNECT_RESPONSE: {
      PACELINE_TRYV(dial.pair->establish());
      dial.ended = true;
      dial.timer.cancel();
      const auto kept = dials_.extract(dial.pair->id());
      dial.answer(road(std::move(dial.pair)));
      return success();
    }
    case RDMA_CM_EVENT_REJECTED:
      return fail(std::errc::connection_refused, "{} {} (over RDMA)", dial.address,
                  status == kRejectedNobodyListens ? "has nobody who listens"
                                                   : fmt::format("refuses: {}", status));
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
      return fail_errno(status < 0 ? -status : EHOSTUNREACH, "no route over RDMA to {}",
                        dial.address);
    default:
      return fail(std::errc::host_unreachable, "cannot connect to {} over RDMA: {} ({})",
                  dial.address, rdma_event_str(event), status);
  }
}

// ---- Events ----

void VerbsDoor::wait() {
  events_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     hub_.turns().handler([this](const auto& error) {
                       if (error) return;
                       take_events();
                       wait();
                     }));
}

void VerbsDoor::take_events() {
  rdma_cm_event* event = nullptr;
  while (rdma_get_cm_event(channel_.get(), &event) == 0) {
    rdma_cm_id* const id = event->id;
    rdma_cm_id* const listener = event->listen_id;
    const Event kind = event->event;
    const int status = event->status;
    const rdma_conn_param asks = event->param.conn;
    rdma_ack_cm_event(event);  // an identifier cannot go before
    on_event(id, listener, kind, status, asks);
  }
}

void VerbsDoor::on_event(rdma_cm_id* id, rdma_cm_id* listener, Event event, int status,
                         const rdma_conn_param& asks) {
  if (event == RDMA_CM_EVENT_CONNECT_REQUEST && listener != nullptr)
    return on_caller(CmId(id), asks);
  if (const auto found = dials_.find(id); found != dials_.end()) {
    const auto dial = found->second;
    if (const auto gone_on = go_on(*dial, event, status); !gone_on) end(*dial, gone_on.error());
    return;
  }
  auto* const pair = static_cast<QueuePair*>(id->context);
  if (pair == nullptr) return;
  switch (event) {
    case RDMA_CM_EVENT_DISCONNECTED:
    case RDMA_CM_EVENT_REJECTED:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_CONNECT_ERROR:
    case RDMA_CM_EVENT_DEVICE_REMOVAL: {
      // What came before it was disconnected comes first.
      VerbsDevice& device = pair->device();
      device.process();
      if (lingering_.erase(pair) != 0) return;
      if (device.knows(pair)) pair->on_disconnected();
      return;
    }
    default:
      return;
  }
}

}  // namespace paceline
