#include "paceline/net/stream/hub_internal.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <utility>
#include <vector>

namespace paceline {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAcceptAgain{100};  // when the system has no descriptors, or the like

}  // namespace

Hub::Hub(const Arena& arena, FabricOptions options, Hooks hooks)
    : arena_(arena),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      work_(boost::asio::make_work_guard(context_)),
      acceptor_(context_),
      timer_(context_),
      last_tick_(FabricClock::now()),
      setting_{arena_, announcements_, options_, *this} {
  PACELINE_CHECK(options_.first_sender + options_.most_peers < kMostSenders &&
                     hooks_.segment.size() <= Welcome().segment.size(),
                 "{} peers from sender {}, segment {}", options_.most_peers, options_.first_sender,
                 hooks_.segment);
  for (std::uint32_t i = 0; i < options_.most_peers; ++i)
    numbers_.insert(options_.first_sender + 1 + i);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "fabric");
    context_.run();
  });
}

Hub::~Hub() { stop(); }

void Hub::stop() {
  if (!thread_.joinable()) return;
  post([this] {
    close_all(fail(std::errc::operation_canceled, "the fabric ends"));
    work_.reset();
    context_.stop();
  });
  thread_.join();
}

// ---- Connections ----

Result<> Hub::listen(const Endpoint& endpoint) {
  boost::system::error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error && endpoint.protocol().family() != AF_UNIX)
    acceptor_.set_option(boost::asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
  if (error)
    return fail(static_cast<std::errc>(error.value()), "cannot listen at {}: {}",
                hooks_.words(endpoint), error.message());
  post([this] { accept(); });
  return success();
}

void Hub::accept() {
  auto socket = std::make_shared<Protocol::socket>(context_);
  const auto from = std::make_shared<Endpoint>();
  acceptor_.async_accept(*socket, *from, [this, socket, from](const auto& error) {
    if (error == boost::asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (error) {
      const auto pause = std::make_shared<boost::asio::steady_timer>(context_, kAcceptAgain);
      return pause->async_wait([this, pause](const auto& stopped) {
        if (!stopped && acceptor_.is_open()) accept();
      });
    }
    add(std::move(*socket), Connection::Side::responder, hooks_.words(*from),
        FabricClock::now() + options_.lost_after, {});
    accept();
  });
}

void Hub::add(Protocol::socket socket, Connection::Side side, std::string address,
              Deadline greeted_by, std::function<void(Result<PeerId>)> done) {
  const PeerId peer{++last_peer_};
  if (hooks_.tune) hooks_.tune(socket.native_handle());
  auto connection = std::make_shared<Connection>(setting_, std::move(socket), side, peer,
                                                 std::move(address), greeted_by);
  connections_.emplace(peer, connection);
  if (done) connecting_.emplace(peer, std::move(done));
  // Strangers can take no more places than this, and only until their handshake's deadline.
  if (side == Connection::Side::responder &&
      (draining_ || connections_.size() > 2 * std::size_t{options_.most_peers}))
    return connection->refuse(RefusalReason::too_many_peers);
  connection->start();
  wake_at(greeted_by);
}

Result<PeerId> Hub::connect(const Endpoint& endpoint, const std::string& address,
                            Deadline deadline) {
  PACELINE_CHECK(!on_io_thread(), "connect() waits: not from a callback");
  const auto promise = std::make_shared<std::promise<Result<PeerId>>>();
  auto result = promise->get_future();
  const auto answer = [promise](Result<PeerId> peer) { promise->set_value(std::move(peer)); };
  post([=, this] {
    if (draining_) return answer(fail(std::errc::operation_canceled, "the fabric drains"));
    const auto socket = std::make_shared<Protocol::socket>(context_);
    const auto timer = std::make_shared<boost::asio::steady_timer>(context_, deadline);
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
      add(std::move(*socket), Connection::Side::initiator, address, deadline, answer);
    });
  });
  // The handshake has the same deadline. Only an I/O thread that ends meanwhile leaves it unkept,
  // and that is another thread's destructor: a bug.
  return result.get();
}

Welcome Hub::welcome(PeerId peer) {
  auto frame = make_frame<Welcome>();
  frame.slots = static_cast<std::uint32_t>(arena_.slots());
  frame.mailboxes = static_cast<std::uint32_t>(arena_.mailboxes());
  // on_open() refuses whom there is no number for.
  frame.sender = options_.first_sender;
  if (!numbers_.empty()) {
    frame.sender = *numbers_.begin();
    numbers_of_.emplace(peer, frame.sender);
    numbers_.erase(numbers_.begin());
  }
  frame.segment_bytes = static_cast<std::uint32_t>(hooks_.segment.size());
  std::ranges::copy(hooks_.segment, frame.segment.begin());
  return frame;
}

Result<> Hub::on_open(Connection& connection, const Welcome& peers) {
  const PeerId peer = connection.peer();
  if (draining_ || !numbers_of_.contains(peer)) {
    connection.refuse(RefusalReason::too_many_peers);
    return success();
  }
  if (hooks_.on_open) PACELINE_TRYV(hooks_.on_open(connection, peers));
  if (const auto waiting = connecting_.extract(peer)) waiting.mapped()(peer);
  options_.on_event({PeerEvent::Kind::arrived, peer, connection.address(), {}});
  wake_at(FabricClock::now());
  return success();
}

void Hub::on_closed(Connection& connection, Connection::End how, const Error& error) {
  const PeerId peer = connection.peer();
  const auto kept = connections_.extract(peer);  // alive until this returns
  const auto number = numbers_of_.extract(peer);
  if (hooks_.on_closed)
    hooks_.on_closed(peer, number ? number.mapped() : options_.first_sender, how, error);
  else if (number)
    give_back(number.mapped());
  if (const auto waiting = connecting_.extract(peer)) {
    waiting.mapped()(error);
  } else if (how == Connection::End::refused) {
    options_.on_event({PeerEvent::Kind::refused, {}, connection.address(), error});
  } else {
    const bool left = how == Connection::End::left;
    options_.on_event({left ? PeerEvent::Kind::left : PeerEvent::Kind::lost, peer,
                       connection.address(), left ? Error{} : error});
  }
  try_to_leave();
}

Connection* Hub::find(PeerId peer) {
  if (draining_) return nullptr;
  const auto found = connections_.find(peer);
  return found != connections_.end() && found->second->is_open() ? found->second.get() : nullptr;
}

void Hub::release(PeerId peer, std::uint64_t ticket) {
  const auto found = connections_.find(peer);
  if (found != connections_.end() && found->second->is_open()) found->second->release(ticket);
}

Error Hub::why_not(PeerId peer) const {
  if (draining_) return fail(std::errc::operation_canceled, "the fabric drains");
  return fail(std::errc::not_connected, "peer {} is not connected",
              static_cast<std::uint64_t>(peer));
}

// ---- What is due ----

Result<RemoteSlot> Hub::announce(std::uint32_t slot, Deadline deadline) {
  PACELINE_TRY(Pin pin, pin_newest(arena_, slot));
  const RemoteSlot where = announcements_.hold(slot, std::move(pin), deadline);
  post([this, deadline] { wake_at(deadline); });
  return where;
}

void Hub::wake_at(Deadline deadline) {
  if (deadline >= armed_for_) return;
  armed_for_ = deadline;
  timer_.expires_at(deadline);
  timer_.async_wait([this](const auto& stopped) {
    if (!stopped) tick();
  });
}

void Hub::tick() {
  armed_for_ = Deadline::max();
  const auto now = FabricClock::now();
  // Ticks come at least four times in `lost_after`.
  const bool was_away = now - last_tick_ > options_.lost_after / 2;
  last_tick_ = now;
  Deadline next = now + options_.lost_after / 4;
  std::vector<std::shared_ptr<Connection>> all;  // callbacks may end any of them
  for (const auto& [peer, connection] : connections_) all.push_back(connection);
  for (const auto& connection : all) {
    if (was_away) connection->forgive_silence(now);
    next = std::min(next, connection->tick(now));
  }
  if (const auto due = announcements_.expire(now)) next = std::min(next, *due);
  if (hooks_.tick) next = std::min(next, hooks_.tick(now));
  try_to_leave();
  if (draining_) next = std::min(next, now + milliseconds(10));
  wake_at(std::max(next, now + milliseconds(1)));
}

// ---- Ends ----

void Hub::try_to_leave() {
  if (!draining_) return;
  std::vector<std::shared_ptr<Connection>> idle;
  if (announcements_.empty() && (!hooks_.is_idle || hooks_.is_idle()))
    for (const auto& [peer, connection] : connections_)
      if (connection->is_idle()) idle.push_back(connection);
  for (const auto& connection : idle) connection->say_goodbye();  // to who is no peer yet, none
  if (connections_.empty() && drained_) std::exchange(drained_, {})();
}

Result<> Hub::drain(Deadline deadline) {
  PACELINE_CHECK(!on_io_thread(), "drain() waits: not from a callback");
  const auto promise = std::make_shared<std::promise<void>>();
  post([this, promise] {
    draining_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    drained_ = [promise] { promise->set_value(); };
    wake_at(FabricClock::now());
  });
  if (promise->get_future().wait_until(deadline) == std::future_status::ready) return success();
  std::promise<std::string> names;
  post([&] {
    drained_ = {};
    std::string text;
    for (const auto& [peer, connection] : connections_)
      text += (text.empty() ? "" : ", ") + connection->address();
    close_all(fail(std::errc::operation_canceled, "the fabric was drained"));
    names.set_value(text);
  });
  return fail(std::errc::timed_out, "drained with something under way to: {}",
              names.get_future().get());
}

void Hub::close_all(const Error& error) {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  draining_ = true;
  for (const auto& [peer, connection] : std::exchange(connections_, {})) {
    connection->close(error);
    if (const auto waiting = connecting_.extract(peer)) waiting.mapped()(error);
    if (hooks_.on_closed) {
      const auto number = numbers_of_.extract(peer);
      hooks_.on_closed(peer, number ? number.mapped() : options_.first_sender,
                       Connection::End::lost, error);
    }
  }
}

}  // namespace paceline
