#include "paceline/net/verbs/verbs_road_internal.h"

#include <utility>

#include "paceline/net/verbs/rdma_address_internal.h"

namespace paceline {
namespace {

constexpr std::uint32_t kForCredit = 2;  // credits that nothing else uses
constexpr std::uint32_t kGiveBack = VerbsDevice::kCredits / 2;
constexpr std::size_t kMostWaiting = 4 * Fabric::kMostInFlight + 64;  // frames: what both may ask

}  // namespace

VerbsRoad::VerbsRoad(Turns& turns, std::shared_ptr<QueuePair> pair, const Arena& arena,
                     Announcements& announcements, FabricOptions::Checksums checksums,
                     Linger linger)
    : turns_(turns),
      pair_(std::move(pair)),
      device_(pair_->device()),
      linger_(std::move(linger)),
      route_(words_of_route(pair_->id())),
      asked_(*this, *pair_, checksums),
      offered_(arena, announcements, *this, device_) {
  pair_->set_owner(this);
}

void VerbsRoad::start(Road::Owner& owner) { owner_ = &owner; }

void VerbsRoad::close() {
  if (std::exchange(closed_, true)) return;
  *alive_ = false;
  waiting_.clear();
  pair_->set_owner(nullptr);
  if (has_last_words_ && pair_->has_posted()) linger_(std::move(pair_));
  pair_.reset();  // from here on nothing is read or written (QP-1)
}

// ---- Frames ----

void VerbsRoad::send_frame(std::span<const std::byte> frame) {
  if (closed_) return;
  if (waiting_.size() >= kMostWaiting)
    return end_soon(
        fail(std::errc::protocol_error, "the peer takes none of {} frames", kMostWaiting));
  waiting_.emplace_back(frame.begin(), frame.end());
  send_what_waits();
}

void VerbsRoad::send_last_frame(std::span<const std::byte> frame) {
  if (closed_ || credits_ == 0 || pair_->room() == 0) return;
  has_last_words_ = true;
  --credits_;
  pair_->post_send(frame, true);
  pair_->ring();
}

void VerbsRoad::send_what_waits() {
  while (!waiting_.empty() && credits_ > kForCredit && pair_->room() > 1) {
    pair_->post_send(waiting_.front());
    waiting_.pop_front();
    --credits_;
  }
  pair_->ring();
}

void VerbsRoad::give_credit() {
  if (owed_ < kGiveBack || credits_ == 0 || pair_->room() == 0) return;
  auto frame = make_frame<Credit>();
  frame.frames = std::exchange(owed_, 0);
  expected_ += frame.frames;
  --credits_;
  pair_->post_send(bytes_of(frame));
}

void VerbsRoad::on_received(std::span<const std::byte> bytes) {
  const auto alive = alive_;
  const auto taken = [&]() -> Result<> {
    if (expected_ == 0)
      return fail(std::errc::protocol_error, "a frame that there was no room for");
    --expected_;
    ++owed_;
    PACELINE_TRY(const Frame frame, parse_frame(bytes));
    if (const auto* credit = std::get_if<Credit>(&frame)) {
      credits_ += credit->frames;
      if (credits_ > VerbsDevice::kCredits)
        return fail(std::errc::protocol_error, "credit for {} frames of {}", credits_,
                    VerbsDevice::kCredits);
      return success();
    }
    if (owner_ == nullptr) return fail(std::errc::protocol_error, "a frame before its time");
    return owner_->on_frame(frame);
  }();
  if (!*alive) return;
  if (!taken) return on_end(taken.error());
  give_credit();
  send_what_waits();
}

// ---- Reads ----

void VerbsRoad::introduce() {
  if (const auto allowed = pair_->allow_reads(); !allowed) return end_soon(allowed.error());
  send(offered_.introduction());
}

Result<bool> VerbsRoad::on_introduction(const Frame& frame) {
  const auto* offer = std::get_if<ArenaOffer>(&frame);
  if (offer == nullptr || asked_.is_introduced()) return false;
  asked_.introduce(*offer);
  return true;
}

Result<> VerbsRoad::on_read_frame(const Frame& frame) {
  return std::visit(
      [&]<class F>(const F& each) -> Result<> {
        if constexpr (std::is_same_v<F, ReadRequest> || std::is_same_v<F, Acknowledge>)
          return offered_.on(each);
        else if constexpr (std::is_same_v<F, ReadOffer> || std::is_same_v<F, ReadRefusal>)
          return asked_.on(each);
        else
          return out_of_turn(frame);
      },
      frame);
}

void VerbsRoad::on_read(std::uint64_t number) {
  const auto alive = alive_;
  if (owner_ != nullptr) owner_->on_sign_of_life();
  const auto done = asked_.on_read(number);
  if (*alive && !done) on_end(done.error());
}

void VerbsRoad::on_room() {
  asked_.pump();
  give_credit();
  send_what_waits();
}

std::optional<Deadline> VerbsRoad::expire_reads(Deadline now, const std::string& peer) {
  const auto asked = asked_.expire(now, peer);
  if (!asked) {
    end_soon(asked.error());
    return std::nullopt;
  }
  const auto offered = offered_.expire(now);
  if (asked.value() && offered) return std::min(*asked.value(), *offered);
  return offered ? offered : asked.value();
}

// ---- Ends ----

void VerbsRoad::on_end(const Error& error) {
  if (closed_) return;
  if (owner_ == nullptr) return close();
  owner_->on_end(error);
}

void VerbsRoad::end_soon(const Error& error) {
  turns_.post([this, alive = alive_, error] {
    if (*alive) on_end(error);
  });
}

}  // namespace paceline
