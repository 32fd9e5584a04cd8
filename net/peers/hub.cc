#include "paceline/net/peers/hub_internal.h"

#include <pthread.h>

#include <algorithm>
#include <future>
#include <utility>
#include <vector>

namespace paceline {

using std::chrono::milliseconds;

Hub::Hub(const Arena& arena, FabricOptions options, Hooks hooks)
    : arena_(arena),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      turns_(hooks_.look),
      work_(boost::asio::make_work_guard(context())),
      timer_(context()),
      last_tick_(FabricClock::now()),
      setting_{arena_, options_, *this} {
  PACELINE_CHECK(options_.first_sender + options_.most_peers < kMostSenders &&
                     hooks_.segment.size() <= Welcome().segment.size(),
                 "{} peers from sender {}, segment {}", options_.most_peers, options_.first_sender,
                 hooks_.segment);
  for (std::uint32_t i = 0; i < options_.most_peers; ++i)
    numbers_.insert(options_.first_sender + 1 + i);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "fabric");
    context().run();
  });
}

Hub::~Hub() { stop(); }

void Hub::stop() {
  if (!thread_.joinable()) return;
  post([this] {
    close_all(fail(std::errc::operation_canceled, "the fabric ends"));
    work_.reset();
    context().stop();
  });
  thread_.join();
}

// ---- Connections ----

void Hub::add_caller(std::unique_ptr<Road> road, const std::string& address) {
  add(std::move(road), Connection::Side::responder, address,
      FabricClock::now() + options_.lost_after, {});
}

void Hub::add(std::unique_ptr<Road> road, Connection::Side side, std::string address,
              Deadline greeted_by, std::function<void(Result<PeerId>)> done) {
  const PeerId peer{++last_peer_};
  if (const std::string route = road->route(); !route.empty()) address += " over " + route;
  auto connection = std::make_shared<Connection>(setting_, std::move(road), side, peer,
                                                 std::move(address), greeted_by);
  connections_.emplace(peer, connection);
  if (done) connecting_.emplace(peer, std::move(done));
  connection->start();
  // Strangers can take no more places than this, and only until their handshake's deadline.
  if (side == Connection::Side::responder &&
      (draining_ || connections_.size() > 2 * std::size_t{options_.most_peers}))
    return connection->refuse(RefusalReason::too_many_peers);
  wake_at(greeted_by);
}

Result<PeerId> Hub::connect(const std::string& address, Deadline deadline,
                            std::function<void(const Answer&)> dial) {
  PACELINE_CHECK(may_wait(), "connect() waits: not from a callback");
  const auto promise = std::make_shared<std::promise<Result<PeerId>>>();
  auto result = promise->get_future();
  const auto told = [promise](Result<PeerId> peer) { promise->set_value(std::move(peer)); };
  post([=, this, dial = std::move(dial)] {
    if (draining_) return told(fail(std::errc::operation_canceled, "the fabric drains"));
    dial([=, this](Result<std::unique_ptr<Road>> road) {
      if (!road) return told(road.error());
      add(std::move(road).value(), Connection::Side::initiator, address, deadline, told);
    });
  });
  // The handshake has the same deadline. Only an I/O thread that ends meanwhile leaves it unkept,
  // and that is another thread's destructor: a bug.
  return result.get();
}

void Hub::read(PeerId peer, const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done) {
  auto begin = [this, peer, from, deadline](Loan into, ReadDone told) {
    if (Connection* connection = find(peer)) {
      connection->road().read(from, std::move(into), deadline, std::move(told));
      return wake_at(deadline);
    }
    { const Loan gone = std::move(into); }  // FA-6
    told(why_not(peer));
  };
  if (may_begin()) {
    is_beginning_ = true;
    begin(std::move(loan), answer_later(std::move(done)));
    is_beginning_ = false;
    return;
  }
  ++asked_;
  post([this, begin, loan = std::move(loan), done = std::move(done)]() mutable {
    --asked_;
    begin(std::move(loan), std::move(done));
  });
}

void Hub::send(PeerId peer, std::uint32_t mailbox, const Letter& letter, Deadline deadline,
               SendDone done) {
  auto begin = [this, peer, mailbox, letter, deadline](SendDone told) {
    Connection* connection = find(peer);
    if (connection == nullptr) return told(why_not(peer));
    connection->letters().send(mailbox, letter, deadline, std::move(told));
    wake_at(deadline);
  };
  if (may_begin()) {
    is_beginning_ = true;
    begin(answer_later(std::move(done)));
    is_beginning_ = false;
    return;
  }
  ++asked_;
  post([this, begin, done = std::move(done)]() mutable {
    --asked_;
    begin(std::move(done));
  });
}

void Hub::begin_here(const std::function<void()>& ask) {
  const auto ask_and_wait = [&] {
    waits_ = true;
    ask();
    waits_ = false;
  };
  if (!hooks_.look || asked_ != 0 || !turns_.begin_here(ask_and_wait)) ask();
}

/// After the call that it belongs to; who waits is woken after the turn (TU-3).
ReadDone Hub::answer_later(ReadDone done) {
  return [this, waits = waits_, done = std::move(done)](Result<Arrival> arrival) {
    if (waits)
      turns_.after([done, kept = std::make_shared<Result<Arrival>>(std::move(arrival))] {
        done(std::move(*kept));
      });
    else if (is_beginning_)
      post([done, arrival = std::move(arrival)]() mutable { done(std::move(arrival)); });
    else
      done(std::move(arrival));
  };
}

SendDone Hub::answer_later(SendDone done) {
  return [this, waits = waits_, done = std::move(done)](const Result<>& sent) {
    if (waits)
      turns_.after([done, sent] { done(sent); });
    else if (is_beginning_)
      post([done, sent] { done(sent); });
    else
      done(sent);
  };
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
  timer_.async_wait(turns_.handler([this](const auto& stopped) {
    if (!stopped) tick();
  }));
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
  PACELINE_CHECK(may_wait(), "drain() waits: not from a callback");
  const auto promise = std::make_shared<std::promise<void>>();
  post([this, promise] {
    draining_ = true;
    if (hooks_.shut_door) hooks_.shut_door();
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
  if (hooks_.shut_door) hooks_.shut_door();
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
