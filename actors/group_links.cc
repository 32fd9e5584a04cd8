#include "paceline/actors/group_links.h"

#include <optional>

namespace paceline {
namespace {

// Not the way in which a loss is noticed: that is the fabric's, by signs of life.
constexpr std::chrono::hours kLongEnough{1000};

}  // namespace

/// One group. Letters go out one by one, the next when the one before has arrived.
class GroupLinks::Link final : public Outbox {
 public:
  using Outbox::send;
  Link(GroupLinks& links, std::uint32_t group) : links_(links), group_(group) {}

  void open(PeerId peer) {
    const std::lock_guard lock(mutex_);
    peer_ = peer;
    send_next();
  }
  std::optional<PeerId> peer() const {
    const std::lock_guard lock(mutex_);
    return peer_;
  }
  bool is_quiet() const {
    const std::lock_guard lock(mutex_);
    return lost_ || waiting_.empty();
  }
  /// @return whether it was not lost before
  bool lose() {
    const std::lock_guard lock(mutex_);
    waiting_.clear();
    return !std::exchange(lost_, true);
  }

  void send(std::span<const Letter> letters) override {
    const std::lock_guard lock(mutex_);
    if (lost_) return;
    waiting_.insert(waiting_.end(), letters.begin(), letters.end());
    send_next();
  }
  bool flush() override {
    const std::lock_guard lock(mutex_);
    send_next();
    return !refused_;
  }

 private:
  /// @pre mutex_ is held
  void send_next() {
    if (under_way_ || lost_ || !peer_ || waiting_.empty()) return;
    under_way_ = true;
    links_.fabric_->send(*peer_, 0, waiting_.front(), FabricClock::now() + kLongEnough,
                         [this](const Result<>& sent) { arrived(sent); });
  }
  void arrived(const Result<>& sent) {
    {
      const std::lock_guard lock(mutex_);
      under_way_ = false;
      refused_ = !sent && sent.error().code == std::errc::no_buffer_space;
      if (lost_ || refused_) return;
      if (sent) {
        waiting_.pop_front();
        return send_next();
      }
    }
    links_.lost(group_, sent.error());
  }

  GroupLinks& links_;
  const std::uint32_t group_;
  mutable std::mutex mutex_;
  std::optional<PeerId> peer_;
  std::deque<Letter> waiting_;
  bool under_way_ = false;  // the first of those
  bool refused_ = false;    // the mailbox was full
  bool lost_ = false;
};

GroupLinks::GroupLinks(OnLoss on_loss) : on_loss_(std::move(on_loss)) {}

Result<std::unique_ptr<GroupLinks>> GroupLinks::open(FabricKind kind, Arena& arena,
                                                     FabricOptions options, std::uint32_t groups,
                                                     OnLoss on_loss) {
  std::unique_ptr<GroupLinks> made(new GroupLinks(std::move(on_loss)));
  for (std::uint32_t group = 0; group < groups; ++group)
    made->links_.push_back(std::make_unique<Link>(*made, group));
  options.on_event = [raw = made.get()](const PeerEvent& event) { raw->on_event(event); };
  PACELINE_TRY(made->fabric_, open_fabric(kind, arena, std::move(options)));
  return made;
}

GroupLinks::~GroupLinks() {
  ending_.store(true);
  for (const auto& link : links_) link->lose();
  fabric_.reset();
}

Result<> GroupLinks::connect(std::uint32_t group, const std::string& address, Deadline deadline) {
  PACELINE_TRY(const PeerId peer, fabric_->connect(address, deadline));
  links_[group]->open(peer);
  return success();
}

bool GroupLinks::connected(std::uint32_t group) const { return links_[group]->peer().has_value(); }

Outbox& GroupLinks::out(std::uint32_t group) const { return *links_[group]; }

bool GroupLinks::flush() {
  bool all = true;
  for (const auto& link : links_) all = link->flush() && all;
  return all;
}

bool GroupLinks::quiet() const {
  bool quiet = true;
  for (const auto& link : links_) quiet = link->is_quiet() && quiet;
  return quiet;
}

Result<Arrival> GroupLinks::read(std::uint32_t group, std::uint32_t slot, Loan loan,
                                 Deadline deadline) {
  const auto peer = links_[group]->peer();
  if (!peer) return fail(std::errc::not_connected, "group {} is not connected", group);
  return read_and_wait(*fabric_, *peer, RemoteSlot::newest(slot), std::move(loan), deadline);
}

void GroupLinks::end(Deadline deadline) {
  ending_.store(true);
  static_cast<void>(fabric_->drain(deadline));  // who is late loses the connection, nothing else
}

void GroupLinks::lost(std::uint32_t group, const Error& error) {
  if (links_[group]->lose() && !ending_.load()) on_loss_(group, error);
}

/// Of connections that others have made nothing is told: each group has one of this side's as well.
void GroupLinks::on_event(const PeerEvent& event) {
  if (event.kind != PeerEvent::Kind::lost && event.kind != PeerEvent::Kind::left) return;
  for (std::uint32_t group = 0; group < links_.size(); ++group)
    if (links_[group]->peer() == event.peer)
      lost(group, event.error.code ? event.error
                                   : fail(std::errc::not_connected, "{} has left", event.address));
}

}  // namespace paceline
