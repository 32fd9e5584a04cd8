// What a runtime gives one role: the far side of the port. The actors and the virtual-time driver
// implement it. Threading: a role and its host live on one executor at a time; only the host
// resumes the role.
//   RH-1 start() returning true means "already served": the role goes on without having been
//        suspended. Otherwise the host keeps the operation, which lives in the role's frame, fills
//        it in, and resumes `op.role` once.
//   RH-2 A receive with no waiting time may suspend: in virtual time it fires after everything else
//        of its instant.
//   RH-3 Every message sent is taken once, is lost with a worker that has ended, or comes back as
//        Gone. The end of a worker is told to its leader and to the global leader or centre as Gone,
//        the end of a leader to the global one, after all that it sent. Gone says whether the role
//        crashed, and whether another will take its place.
//   RH-4 Who takes the place of a worker that crashed is told to the same two as Joined: after Gone,
//        before anything that it sends, as is who is added to a run, when it is about to take its first step. It lives the
//        worker's role from the beginning, with the newest parameters of who leads, and hears
//        nothing of what was sent to the one before. If nobody can come any more, a second Gone says
//        so.
//   RH-5 What is visible in a slot has been written in full, whenever the device came to it: a publish
//        waits for its copy, or is not yet one (publish_soon()). A slot has one loan at a time.
//   RH-6 A copy that is on its way ends with its role, unpublished: abandon().
//   RH-7 Whatever the runtime decides for the role passes by noted(), so that a course can hold it.
//   RH-8 A gradient and an update that a host takes as one leave what both leave in turn, bit for bit,
//        and the same course. What made a loss not finite has changed x and the momentum by then: who
//        begins again takes both from elsewhere.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "paceline/actors/course.h"
#include "paceline/actors/event.h"
#include "paceline/actors/packet.h"
#include "paceline/compute/vector_math.h"
#include "paceline/net/slot.h"

namespace paceline {

using std::chrono::nanoseconds;

/// Slot `index` of the role `owner`.
struct SlotRef {
  Address owner;
  std::uint32_t index = 0;
  bool operator==(const SlotRef&) const = default;
  auto operator<=>(const SlotRef&) const = default;
};
/// Every whole-vector role publishes its parameters here, at least when it ends.
inline constexpr std::uint32_t kParameters = 0;
/// As a version: read afresh, whatever a copy on this node holds.
inline constexpr std::uint64_t kNewest = ~0ull;

struct GradientOp {
  std::coroutine_handle<> role;
  ConstVector at;  ///< [P]
  Vector g;        ///< [P], filled in
  double loss = 0;
  /// The pulls of the update that is to follow, if one does. A host that takes an update without pulls
  /// by itself, behind the gradient, says with which rate; x has changed then, whatever the loss is.
  std::optional<std::span<const Pull>> update = {};
  std::optional<double> updated = {};
};
struct ReceiveOp {
  std::coroutine_handle<> role;
  Wanted wanted;
  nanoseconds within{0};
  bool ok = false;
  Packet got{};
};
struct PinOp {
  std::coroutine_handle<> role;
  SlotRef slot;
  std::uint64_t at_least = 0;  ///< version; got stays empty when it cannot be had in time
  nanoseconds within{0};
  Pin got{};
  std::size_t part = 0;  ///< bytes that will be read of it; 0: all
};

/// What decides a role; its host is built from this.
struct RoleSetup {
  Address self;
  Place place;
  const void* hyper = nullptr;       ///< the protocol's; outlives the host
  const VectorMath* math = nullptr;  ///< may be one that meters another
  std::size_t dimension = 0;         ///< P, scalars
  Sgd sgd;
  double clip_norm = 0;  ///< a longer gradient is scaled to it; 0: as it is
  std::uint64_t seed = 1;
};

class RoleHost {
 public:
  explicit RoleHost(const RoleSetup& setup)
      : setup_(setup), sgd_(setup.sgd), rng_(setup.seed, setup.self.index) {}
  virtual ~RoleHost() = default;
  RoleHost(const RoleHost&) = delete;
  RoleHost& operator=(const RoleHost&) = delete;

  // May suspend the role.
  virtual bool start(GradientOp& op) = 0;
  virtual bool start(ReceiveOp& op) = 0;
  /// With `within` 0 always served at once, from what this node holds.
  virtual bool start(PinOp& op) = 0;

  // Never waits.
  virtual bool take(const Wanted& wanted, Packet& out) = 0;
  virtual void send(Address to, const Packet& packet) = 0;
  /// Begins to bring a version of a slot to this node, if it lies elsewhere: one read for the node.
  virtual void prefetch(SlotRef slot, std::uint64_t at_least) = 0;
  /// The newest version of a slot that this node knows of.
  virtual std::uint64_t newest(SlotRef slot) const = 0;
  virtual Slot slot(std::uint32_t index) = 0;  ///< its own
  /// A buffer of an own slot to write to; none while readers hold every other.
  virtual std::optional<Loan> loan(std::uint32_t index) { return slot(index).loan(); }
  /// Whether the role may take another step: budget and stop flag.
  virtual bool running() = 0;
  virtual void record(const Event& event) = 0;
  /// The run is being ended: waits are cut short, and what is missing then is no fault.
  virtual bool stopping() const { return false; }
  /// For deadlines and the words in faults: no protocol decides anything else by the clock.
  virtual nanoseconds now() const = 0;
  /// How long to wait for what others do within `steps` steps of theirs.
  nanoseconds patience(std::uint64_t steps) { return patience_ = allowed(steps); }

  // What the port hands on: the outcome, noted where the run's course is kept.
  void noted(const ReceiveOp& op) { noted(CourseEntry::Kind::received, op.ok, op.got); }
  void noted(CourseEntry::Kind kind, bool ok, const Packet& got) {
    if (ok) heard(got);
    note(kind, ok ? got.kind : CourseEntry::kNothing, ok ? got.from : 0, ok ? got.round : 0);
  }
  void noted(CourseEntry::Kind kind, const PinOp& op) {
    note(kind, op.slot.index, op.slot.owner.index, op.got.version());
  }
  std::uint64_t noted_newest(SlotRef slot) {
    const std::uint64_t version = newest(slot);
    note(CourseEntry::Kind::newest, slot.index, slot.owner.index, version);
    return version;
  }
  bool noted_running() {
    const bool more = running();
    note(CourseEntry::Kind::running, 0, 0, more);
    return more;
  }
  /// From now on. @param course  outlives the host
  void keep_course(CourseWriter* course) { course_ = course; }
  void note(CourseEntry::Kind kind, std::uint32_t word, std::uint32_t other, std::uint64_t value) {
    if (course_ == nullptr) return;
    course_->add({kind, static_cast<std::uint8_t>(word),
                  static_cast<std::uint16_t>(self().index), other, value});
  }

  // Whole-vector work, virtual so that a runtime can account its time; an override calls this one.
  /// Lets `write` fill a buffer of an own slot, and publishes it; of the slot kParameters it sees the
  /// parameters alone, the rest is write_buffers()'s. @return the version, or 0 when readers hold
  /// every other buffer (counted as "busy")
  std::uint64_t publish(std::uint32_t slot, const std::function<void(std::span<std::byte>)>& write);
  /// The same of a copy of v. A worker's v that is not finite is refused like one that readers
  /// prevent, and the worker begins again.
  std::uint64_t publish(std::uint32_t slot, ConstVector v);
  /// The same for who tries again at the next boundary, without waiting for the device: v and the
  /// running statistics are taken as they are now, and published by a later call (or by publish()),
  /// once they are copied. Where the device copies at once it is publish().
  /// @return the version that has become visible, which may hold what an earlier call was given; 0
  /// while it is being copied (counted as "pending" from the second call on), and as publish() says
  std::uint64_t publish_soon(std::uint32_t slot, ConstVector v);
  /// Waits for what publish_soon() has begun and gives its buffers back: before whatever it copies from
  /// goes, and before another host of this role publishes.
  void abandon() { publishing_.clear(); }
  /// x -= strength (x - leader)
  virtual void pull(const Pull& pull);
  /// The optimiser's step on x, with the learning rate of the moment and a gradient that is clipped
  /// (counted as "clipped"; one that is not finite stays so), then the pulls, in one pass.
  virtual void update(std::span<const Pull> pulls);
  /// The rate of the update that is being taken.
  virtual double learning_rate() { return sgd_.learning_rate; }
  /// What part of the bytes that update() moves are reads of leaders.
  double coordination_share(std::size_t pulls) const;

  Address self() const { return setup_.self; }
  const Place& place() const { return setup_.place; }
  const void* hyper() const { return setup_.hyper; }
  const VectorMath& math() const { return *setup_.math; }
  /// What protocols compute with beside gradients and updates; a runtime may account its time.
  virtual const VectorMath& coordination_math() const { return math(); }
  std::size_t dimension() const { return setup_.dimension; }
  Sgd& sgd() { return sgd_; }
  Rng& rng() { return rng_; }
  /// [P], made on first use: "x" begins as the initial parameters, all others as zero. Checkpoints
  /// and tests find vectors by name.
  Vector vector(std::string_view name);
  /// The optimiser's; empty where its form has none.
  Vector momentum() { return sgd_.form == Momentum::none ? Vector{} : vector("momentum"); }
  Vector x() { return x_.data ? x_ : x_ = vector("x"); }  ///< vector("x"), and the next likewise
  Vector g() { return g_.data ? g_ : g_ = vector("g"); }
  const std::map<std::string, Vector, std::less<>>& vectors() const { return vectors_; }
  /// Numbers of the role's own, made on first use: zeros. They stay where they are.
  std::span<double> numbers(std::string_view name, std::size_t count);

  /// Counts what happens, by name.
  void count(std::string_view name, std::uint64_t n = 1);
  const std::map<std::string, std::uint64_t, std::less<>>& counts() const { return counts_; }
  std::uint64_t steps() const { return steps_; }  ///< gradients taken
  /// A gradient was taken. One whose loss is not finite counts as 0, and the worker begins again.
  void count_step(double loss);
  /// The same, then the update that the operation asks for, unless it has been taken. A worker that has
  /// begun again takes it where it is now.
  void finish_step(const GradientOp& op);
  /// How often the host has taken a worker's parameters away because something was not finite: what
  /// the role knew of its losses until then is void.
  std::uint64_t begun_again() const { return begun_again_; }
  /// Rounds of a synchronous protocol that the role has lived through, counted from when the run
  /// began or went on: after as many, all its workers and its centre belong together.
  std::uint64_t rounds() const { return rounds_; }
  void at_round(std::uint64_t round) { rounds_ = round; }
  /// Goes on where another host of this role was.
  void continue_from(std::uint64_t steps, std::uint64_t rng) {
    steps_ = steps;
    rng_.restore(rng);
  }

  /// Notes a sign of life; the port calls it for each message that the role takes.
  void heard(const Packet& packet) { heard_[packet.from] = {now(), packet.round}; }
  /// Records that `missing` did not send `what` in time: who, the round, the last sign of life, and
  /// how long was waited. Nothing when nobody is missing.
  void record_missing(std::uint64_t round, std::string_view what, std::span<const Address> missing);

 protected:
  /// Takes a worker of which `what` ("loss is", "parameters are") not finite to where the leader is, without momentum.
  /// @return false: this host cannot, and the worker goes on as it is
  virtual bool begin_again(std::string_view /*what*/) { return false; }
  /// What patience() is, in the runtime's judgement.
  virtual nanoseconds allowed(std::uint64_t steps) = 0;
  /// With this rate an update is taken.
  virtual void noted_rate(double /*rate*/) {}
  bool clips() const { return setup_.clip_norm > 0; }
  /// Memory for one named vector, in the runtime's place and with its first values.
  virtual Vector allocate(std::string_view name) = 0;
  /// Fills what lies behind the parameters in a published slot: the role's running statistics.
  /// @param to  [B], as an earlier version left it; a centre, which has none, leaves it so
  virtual void write_buffers(std::span<std::byte> /*to*/) {}
  /// The same beside other work. @return null where it was done at once
  virtual std::unique_ptr<PendingCopy> begin_buffers(std::span<std::byte> to) {
    write_buffers(to);
    coordination_math().finish();
    return nullptr;
  }

 private:
  /// What publish_soon() has begun. The copies go before the loan: they end in its bytes.
  struct Publishing {
    Loan loan;
    std::unique_ptr<PendingCopy> parameters, buffers;
    bool done() const {
      const bool all = !parameters || parameters->done(), rest = !buffers || buffers->done();
      return all && rest;
    }
  };
  bool may_publish(ConstVector v);
  std::optional<Loan> noted_loan(std::uint32_t slot);
  /// Waits for the copy of a slot and publishes it. @return the version; 0 when there is none
  std::uint64_t complete(std::uint32_t slot);
  std::span<std::byte> own_part(std::uint32_t slot, std::span<std::byte> bytes) const;
  void forget_losses();
  double gradient_scale();
  struct Sign {
    nanoseconds at;
    std::uint64_t round;
  };
  const RoleSetup setup_;
  Sgd sgd_;
  Rng rng_;
  CourseWriter* course_ = nullptr;  // null: nobody keeps it
  std::uint64_t steps_ = 0, rounds_ = 0, begun_again_ = 0;
  nanoseconds patience_{0};  // asked for last
  Vector x_{}, g_{};  // once they are made
  std::map<std::string, Vector, std::less<>> vectors_;
  std::map<std::string, std::vector<double>, std::less<>> numbers_;
  std::map<std::string, std::uint64_t, std::less<>> counts_;
  std::unordered_map<std::uint32_t, Sign> heard_;
  std::map<std::uint32_t, Publishing> publishing_;  // by slot
};

}  // namespace paceline
