// The port: all that a coordination protocol may touch. A role of a protocol is one coroutine that
// takes a Port<P>, where P is the protocol: P::Hyper, its constants; P::Message, a std::variant of
// trivially copyable structs. Threading: that of the role. A port is a borrowed view of the role's
// host, copied into every coroutine that takes it.
//   PT-1 An operation lives in the awaiting frame: a wait allocates nothing.
//   PT-2 Destroying a parked role is cancellation: pins, loans and nested tasks go with the frame.
//   PT-3 No element, no clock, no I/O: vectors have names, storage and scalar are the runtime's.
//   PT-4 One gradient is one step, whoever uses it.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "paceline/actors/role_host.h"
#include "paceline/actors/task.h"

namespace paceline {

using namespace std::chrono_literals;

namespace detail {

template <class M, class V>
struct KindOf;
template <class M, class... Ms>
struct KindOf<M, std::variant<Ms...>> {
  static constexpr std::uint8_t value = [] {
    std::uint8_t kind = 1;
    (void)((std::is_same_v<M, Ms> || (++kind, false)) || ...);
    return kind;
  }();
  static_assert(value <= sizeof...(Ms), "not a message of this protocol");
  static_assert(sizeof...(Ms) < kJoined, "kinds are bits of a mask");
};
template <class M>
struct NewsOr {
  template <class P>
  static constexpr std::uint8_t kind = KindOf<M, typename P::Message>::value;
};
template <>
struct NewsOr<Gone> {
  template <class P>
  static constexpr std::uint8_t kind = kGone;
};
template <>
struct NewsOr<Joined> {
  template <class P>
  static constexpr std::uint8_t kind = kJoined;
};
template <class P, class M>
inline constexpr std::uint8_t kKind = NewsOr<M>::template kind<P>;

/// An operation on its way through co_await. Made by functions alone (TK-3).
template <class Op, class R>
struct Awaiting {
  RoleHost& host;
  Op op;
  R (*finish)(RoleHost&, Op&);

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> role) {
    op.role = role;
    return !host.start(op);
  }
  R await_resume() { return finish(host, op); }
};

}  // namespace detail

/// What receiving one type of message gives; empty when the deadline passed.
template <class M>
class Mail {
 public:
  Mail(bool ok, const Packet& packet) : ok_(ok), from_{packet.from}, round_(packet.round) {
    if (ok) std::memcpy(static_cast<void*>(&message_), packet.payload, sizeof message_);
  }
  explicit operator bool() const { return ok_; }
  const M& operator*() const { return message_; }
  const M* operator->() const { return &message_; }
  Address from() const { return from_; }
  std::uint64_t round() const { return round_; }

 private:
  bool ok_;
  Address from_;
  std::uint64_t round_;
  M message_{};
};

/// What receiving several types gives; empty when the deadline passed.
template <class P>
class Envelope {
 public:
  Envelope(bool ok, const Packet& packet) : ok_(ok), packet_(packet) {}
  explicit operator bool() const { return ok_; }
  Address from() const { return {packet_.from}; }
  std::uint64_t round() const { return packet_.round; }
  /// The message, if it is an M.
  template <class M>
  std::optional<M> as() const {
    if (!ok_ || packet_.kind != detail::kKind<P, M>) return std::nullopt;
    M message;
    std::memcpy(static_cast<void*>(&message), packet_.payload, sizeof message);
    return message;
  }

 private:
  bool ok_;
  Packet packet_;
};

/// Until when a wait for several messages lasts, whatever comes meanwhile. Protocols only hand it
/// back (PT-3).
class WaitDeadline {
 public:
  WaitDeadline(const RoleHost& host, nanoseconds within) : host_(&host), until_(host.now() + within) {}
  nanoseconds left() const { return std::max(until_ - host_->now(), nanoseconds(0)); }

 private:
  const RoleHost* host_;
  nanoseconds until_;
};

template <class P>
class Port {
 public:
  explicit Port(RoleHost& host) : host_(&host) {}

  // ---- who and where ----
  const typename P::Hyper& hyper() const {
    return *static_cast<const typename P::Hyper*>(host_->hyper());
  }
  const Place& place() const { return host_->place(); }
  Address self() const { return host_->self(); }
  Rank rank() const { return self().index; }  ///< of a worker
  std::uint32_t group() const { return place().group(self()); }
  Address leader() const { return place().leader(group()); }
  Address global() const { return place().global(); }
  /// Gradients taken so far, before a resume as well.
  std::uint64_t steps() const { return host_->steps(); }
  /// In a synchronous protocol: this round is over.
  void at_round(std::uint64_t round) const { host_->at_round(round); }
  /// Whether another step may be taken. The boundary between two steps: where a checkpoint finds the
  /// role, if it is asked for one, with its vectors and numbers as the next step will.
  bool running() const { return host_->noted_running(); }

  // ---- vectors ----
  /// For what is neither a gradient nor an update: all that a protocol does here is coordination.
  /// Before a pin that was read from goes: math().finish(). update() and pull() have it in them.
  const VectorMath& math() const { return host_->coordination_math(); }
  const Sgd& sgd() const { return host_->sgd(); }
  Rng& rng() const { return host_->rng(); }
  Vector x() const { return host_->x(); }  ///< the role's parameters
  Vector g() const { return host_->g(); }  ///< its last gradient
  Vector vector(std::string_view name) const { return host_->vector(name); }
  /// Numbers that checkpoints keep, zero at first (P::kept names them).
  std::span<double> numbers(std::string_view name, std::size_t count) const {
    return host_->numbers(name, count);
  }
  /// What a pin of a vector's slot holds.
  ConstVector view(const Pin& pin) const { return {pin.bytes().data(), host_->dimension()}; }

  // ---- gradients and updates ----
  /// The loss of the next batch at x; leaves the gradient in g().
  auto gradient() const { return gradient(x()); }
  auto gradient(ConstVector at) const {
    return detail::Awaiting<GradientOp, double>{
        *host_, {{}, at, g(), 0, {}, {}}, [](RoleHost& host, GradientOp& op) {
          host.count_step(op.loss);
          return op.loss;
        }};
  }
  /// Before the gradient of an update(): Sutskever's half step; nothing for other forms of
  /// momentum.
  void look_ahead() const {
    if (sgd().form == Momentum::sutskever) host_->math().look_ahead(sgd(), x(), vector("momentum"));
  }
  /// The optimiser's step with g(), then the pulls in their order, in one pass.
  void update(std::span<const Pull> pulls = {}) const { host_->update(pulls); }
  /// look_ahead(), gradient() and update(); the loss. Who knows the pulls beforehand says so here: a
  /// device may take a step without any in one.
  auto step(std::span<const Pull> pulls = {}) const {
    look_ahead();
    return detail::Awaiting<GradientOp, double>{
        *host_, {{}, x(), g(), 0, pulls, {}}, [](RoleHost& host, GradientOp& op) {
          host.finish_step(op);
          return op.loss;
        }};
  }
  /// The rate that the next update() will take.
  double learning_rate() const { return host_->learning_rate(); }
  /// x -= strength (x - leader)
  void pull(ConstVector leader, double strength) const { host_->pull({leader, strength}); }

  /// How often something was not finite and the runtime took x to where the leader is: losses before
  /// that say nothing of what x is now.
  std::uint64_t begun_again() const { return host_->begun_again(); }

  // ---- slots ----
  /// Publishes a copy of v. @return its version; 0 when readers hold every other buffer, or when v is
  /// not finite: what was published stays the newest, try again at the next boundary
  std::uint64_t publish(std::uint32_t slot, ConstVector v) const { return host_->publish(slot, v); }
  /// The same without waiting for the device, for who calls it again at the next boundary: what v is
  /// now becomes visible in a later call. @return the version that has become visible in this one,
  /// perhaps of v as it was at a boundary before; else 0, as above or while it is being copied
  std::uint64_t publish_soon(std::uint32_t slot, ConstVector v) const {
    return host_->publish_soon(slot, v);
  }
  /// The same as publish(), unchecked, written in place by write(std::span<std::byte>).
  std::uint64_t publish_with(std::uint32_t slot,
                             const std::function<void(std::span<std::byte>)>& write) const {
    return host_->publish(slot, write);
  }
  /// Pins version `at_least` or a newer one: in place within the node, else after one read for the
  /// whole node. Empty when it cannot be had in time.
  auto pin(Address owner, std::uint32_t slot, std::uint64_t at_least, nanoseconds within) const {
    return detail::Awaiting<PinOp, Pin>{*host_,
                                        {{}, {owner, slot}, at_least, within, {}},
                                        finish_pin};
  }
  /// The same of a slot of which only `bytes` will be read: what is metered, where that is.
  auto pin_part(Address owner, std::uint32_t slot, std::uint64_t at_least, std::size_t bytes,
                nanoseconds within) const {
    return detail::Awaiting<PinOp, Pin>{*host_,
                                        {{}, {owner, slot}, at_least, within, {}, bytes},
                                        finish_pin};
  }
  /// Pins the newest that this node holds, at once; empty when it holds none.
  Pin pin_held(Address owner, std::uint32_t slot) const {
    PinOp op;
    op.slot = {owner, slot};
    host_->start(op);
    host_->noted(CourseEntry::Kind::held, op);
    return std::move(op.got);
  }
  void prefetch(Address owner, std::uint32_t slot, std::uint64_t at_least) const {
    host_->prefetch({owner, slot}, at_least);
  }
  /// The newest version that this node knows of; it may hold an older one.
  std::uint64_t newest(Address owner, std::uint32_t slot) const {
    return host_->noted_newest({owner, slot});
  }

  // ---- messages ----
  template <class M>
  void send(Address to, const M& message, std::uint64_t round = 0) const {
    static_assert(std::is_trivially_copyable_v<M> && sizeof(M) <= sizeof(Packet::payload));
    Packet packet;
    packet.round = round;
    packet.from = self().index;
    packet.kind = detail::kKind<P, M>;
    packet.bytes = sizeof(M);
    std::memcpy(packet.payload, &message, sizeof(M));
    host_->send(to, packet);
  }
  template <class M>
  void send_leaders(const M& message, std::uint64_t round = 0) const {
    for (std::uint32_t j = 0; j < place().groups; ++j) send(place().leader(j), message, round);
  }

  /// The oldest message of the types named, of all types if none is; others stay. What belongs to
  /// a round before `round` is dropped. One type gives Mail<M>, several an Envelope.
  /// @param within  0: what arrives before the role would go on
  template <class M>
  auto receive(nanoseconds within, std::uint64_t round = 0) const {
    return detail::Awaiting<ReceiveOp, Mail<M>>{
        *host_, {{}, wanted<M>(round), within}, [](RoleHost& host, ReceiveOp& op) {
          host.noted(op);
          return Mail<M>(op.ok, op.got);
        }};
  }
  template <class... Ms>
  requires(sizeof...(Ms) != 1) auto receive(nanoseconds within, std::uint64_t round = 0) const {
    return detail::Awaiting<ReceiveOp, Envelope<P>>{
        *host_, {{}, wanted<Ms...>(round), within}, [](RoleHost& host, ReceiveOp& op) {
          host.noted(op);
          return Envelope<P>(op.ok, op.got);
        }};
  }
  /// The same, of several waits that end together.
  WaitDeadline deadline(nanoseconds within) const { return {*host_, within}; }
  template <class... Ms>
  auto receive(const WaitDeadline& deadline, std::uint64_t round = 0) const {
    return receive<Ms...>(deadline.left(), round);
  }
  /// What is there already.
  template <class M>
  Mail<M> take(std::uint64_t round = 0) const {
    Packet packet;
    const bool ok = host_->take(wanted<M>(round), packet);
    host_->noted(CourseEntry::Kind::took, ok, packet);
    return {ok, packet};
  }

  /// Waits, taking nothing.
  auto pause(nanoseconds within) const {
    return detail::Awaiting<ReceiveOp, bool>{
        *host_, {{}, {0, 0}, within}, [](RoleHost& host, ReceiveOp& op) {
          host.noted(op);
          return op.ok;
        }};
  }

  /// How long to wait for what others do within `steps` steps of theirs: the runtime's to say.
  nanoseconds patience(std::uint64_t steps) const { return host_->patience(steps); }

  // ---- what others see ----
  void count(std::string_view name, std::uint64_t n = 1) const { host_->count(name, n); }
  void record(const Event& event) const { host_->record(event); }
  void record_missing(std::uint64_t round, std::string_view what,
                      std::span<const Address> missing) const {
    host_->record_missing(round, what, missing);
  }

 private:
  static Pin finish_pin(RoleHost& host, PinOp& op) {
    host.noted(CourseEntry::Kind::pinned, op);
    return std::move(op.got);
  }
  template <class... Ms>
  static Wanted wanted(std::uint64_t round) {
    if constexpr (sizeof...(Ms) == 0) return {~0u, round};
    return {(0u | ... | (1u << detail::kKind<P, Ms>)), round};
  }

  RoleHost* host_;
};

/// Publishes where going on without would not do: while readers hold every other buffer, tries
/// again and again. @return the version; 0 after `within`
template <class P>
Task<std::uint64_t> publish_within(Port<P> port, std::function<std::uint64_t()> publish,
                                   nanoseconds within) {
  constexpr int kTries = 200;
  std::uint64_t version = publish();
  for (int tries = 1; version == 0 && tries < kTries; ++tries) {
    co_await port.pause(within / kTries);
    version = publish();
  }
  co_return version;
}
template <class P>
Task<std::uint64_t> publish_within(Port<P> port, std::uint32_t slot, ConstVector v,
                                   nanoseconds within) {
  return publish_within(port, [port, slot, v] { return port.publish(slot, v); }, within);
}
template <class P>
Task<std::uint64_t> publish_within(Port<P> port, std::uint32_t slot,
                                   std::function<void(std::span<std::byte>)> write,
                                   nanoseconds within) {
  return publish_within(
      port, [port, slot, write] { return port.publish_with(slot, write); }, within);
}

}  // namespace paceline
