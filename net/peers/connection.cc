#include "paceline/net/peers/connection_internal.h"

#include <algorithm>
#include <utility>

namespace paceline {
namespace {

using std::chrono::milliseconds;

Error refused(const Refusal& refusal) {
  const bool token = refusal.reason == RefusalReason::wrong_token;
  const auto code = token ? std::errc::permission_denied : std::errc::protocol_not_supported;
  return fail(code, "the other side refuses: {} (it speaks version {}, this side {})",
              name_of(refusal.reason), refusal.version, kFabricVersion);
}

}  // namespace

Connection::Connection(const Setting& setting, std::unique_ptr<Road> road, Side side, PeerId peer,
                       std::string address, Deadline greeted_by)
    : setting_(setting),
      side_(side),
      peer_(peer),
      address_(std::move(address)),
      road_(std::move(road)),
      letters_(*road_),
      greeted_by_(greeted_by),
      initiator_(setting.options.token, setting.options.layout_hash),
      responder_(setting.options.token, setting.options.layout_hash),
      last_heard_(FabricClock::now()),
      last_pulse_(last_heard_) {}

Connection::~Connection() { road_->close(); }

void Connection::start() {
  road_->start(*this);
  if (side_ == Side::initiator) road_->send(initiator_.hello());
}

// ---- What comes ----

Result<> Connection::on_frame(const Frame& frame) {
  const auto alive = shared_from_this();  // whatever a callback does
  heard_ = true;
  return state_ == State::greeting ? greet(frame) : take(frame);
}

Result<> Connection::greet(const Frame& frame) {
  if (const auto* refusal = std::get_if<Refusal>(&frame)) return refused(*refusal);
  if (const auto* hello = std::get_if<Hello>(&frame);
      hello != nullptr && side_ == Side::responder && !challenged_) {
    const auto challenge = responder_.answer(*hello);
    if (!challenge) {
      refuse(challenge.error());
      return success();
    }
    challenged_ = true;
    road_->send(challenge.value());
    return success();
  }
  if (const auto* challenge = std::get_if<Challenge>(&frame);
      challenge != nullptr && side_ == Side::initiator && !proved_) {
    PACELINE_TRY(const Proof proof, initiator_.answer(*challenge));
    proved_ = true;  // and so is the other side, by its challenge
    road_->send(proof);
    road_->introduce();
    road_->send(setting_.owner.welcome(peer_));
    return success();
  }
  if (const auto* proof = std::get_if<Proof>(&frame); proof != nullptr && challenged_ && !proved_) {
    if (!responder_.is_right(*proof)) {
      refuse(RefusalReason::wrong_token);
      return success();
    }
    proved_ = true;
    road_->introduce();
    road_->send(setting_.owner.welcome(peer_));
    return success();
  }
  if (proved_) {
    PACELINE_TRY(const bool introduced, road_->on_introduction(frame));
    if (introduced) return success();
  }
  if (const auto* welcome = std::get_if<Welcome>(&frame);
      welcome != nullptr && proved_ && road_->is_introduced()) {
    PACELINE_TRYV(setting_.owner.on_open(*this, *welcome));
    if (state_ == State::greeting) state_ = State::open;
    return success();
  }
  if (side_ == Side::responder) refuse(RefusalReason::protocol);
  return out_of_turn(frame);
}

Result<> Connection::take(const Frame& frame) {
  // After our farewell the peer's last words may still come.
  if (state_ == State::leaving && !std::holds_alternative<Goodbye>(frame)) return success();
  return std::visit(
      [&]<class F>(const F& each) -> Result<> {
        if constexpr (std::is_same_v<F, LetterFrame>) {
          const bool exists = each.mailbox < setting_.arena.mailboxes();
          auto answer = make_frame<LetterAnswer>();
          answer.number = each.number;
          answer.verdict = !exists ? LetterVerdict::no_such_mailbox
                           : setting_.arena.mailbox(each.mailbox)
                                   .send(setting_.options.first_sender, each.letter)
                               ? LetterVerdict::delivered
                               : LetterVerdict::full;
          road_->send(answer);
          return success();
        } else if constexpr (std::is_same_v<F, LetterAnswer>) {
          return letters_.on(each);
        } else if constexpr (std::is_same_v<F, Pulse>) {
          return success();
        } else if constexpr (std::is_same_v<F, Goodbye>) {
          end(End::left, fail(std::errc::not_connected, "{} has left", address_));
          return success();
        } else {
          return road_->on_read_frame(frame);
        }
      },
      frame);
}

// ---- What goes ----

void Connection::release(std::uint64_t ticket) {
  auto frame = make_frame<Acknowledge>();
  frame.ticket = ticket;
  road_->send(frame);
}

void Connection::refuse(RefusalReason reason) {
  auto refusal = make_frame<Refusal>();
  refusal.reason = reason;
  road_->send_last(refusal);
  end(End::refused, fail(reason == RefusalReason::wrong_token ? std::errc::permission_denied
                                                              : std::errc::protocol_not_supported,
                         "refused {}: {}", address_, name_of(reason)));
}

void Connection::say_goodbye() {
  if (state_ == State::greeting)
    return end(End::refused, fail(std::errc::operation_canceled, "the fabric drains"));
  if (state_ != State::open) return;
  state_ = State::leaving;
  road_->send(make_frame<Goodbye>());
  road_->finish();
}

// ---- Ends ----

void Connection::on_end(const Error& error) {
  const auto alive = shared_from_this();
  if (state_ == State::leaving)
    end(End::left, fail(std::errc::not_connected, "the fabric has taken leave of {}", address_));
  else if (error.code)
    end(End::lost, fail(error.code, "{}: {}", address_, error.message));
  else
    end(End::lost, fail(std::errc::connection_reset, "{} has closed the connection", address_));
}

void Connection::end(End how, const Error& error) {
  if (state_ == State::closed) return;
  const bool was_open = std::exchange(state_, State::closed) != State::greeting;
  road_->close();
  end_requests(fail(std::errc::not_connected, "{}", error.message));
  setting_.owner.on_closed(*this, was_open ? how : End::refused, error);
}

void Connection::close(const Error& error) {
  if (std::exchange(state_, State::closed) == State::closed) return;
  road_->close();
  end_requests(error);
}

void Connection::end_requests(const Error& error) {
  road_->end_reads(error);
  letters_.end_all(error);
}

Deadline Connection::tick(Deadline now) {
  const auto alive = shared_from_this();
  const milliseconds patience = setting_.options.lost_after;
  if (std::exchange(heard_, false)) last_heard_ = now;
  if (state_ == State::greeting) {
    if (now >= greeted_by_)
      end(End::refused,
          fail(std::errc::timed_out, "{} did not end the handshake in time", address_));
    return greeted_by_;
  }
  if (state_ == State::closed) return Deadline::max();
  if (now - last_heard_ > patience) {
    end(End::lost, fail(std::errc::timed_out, "{}", words(now)));
    return Deadline::max();
  }
  if (state_ == State::open && now - last_pulse_ >= patience / 4) {
    last_pulse_ = now;
    road_->send(make_frame<Pulse>());
  }
  Deadline next = std::min(last_pulse_ + patience / 4, last_heard_ + patience + milliseconds(1));
  if (state_ == State::leaving) next = last_heard_ + patience + milliseconds(1);
  for (const auto due : {road_->expire_reads(now, words(now)), letters_.expire(now, words(now))})
    if (due) next = std::min(next, *due);
  return next;
}

std::string Connection::words(Deadline now) const {
  const std::chrono::duration<double> silence = now - last_heard_;
  return fmt::format("{} (its last sign of life was {:.1f} s ago)", address_, silence.count());
}

}  // namespace paceline
