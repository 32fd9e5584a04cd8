// Behind VirtualTime: the queue of what is to happen, and what roles and reads wait for. Threading:
// one thread.
#pragma once

#include <deque>
#include <limits>
#include <map>
#include <utility>

#include "paceline/actors/inbox.h"
#include "paceline/actors/simulation/event_queue.h"
#include "paceline/actors/simulation/virtual_time.h"

namespace paceline {

class VirtualTime::Driver {
 public:
  using Time = std::int64_t;  // virtual nanoseconds
  static constexpr Time kNever = std::numeric_limits<Time>::max();

  Driver(VirtualRun plan, std::shared_ptr<const void> hyper)
      : plan_(std::move(plan)), hyper_(std::move(hyper)), chance_(plan_.seed, kChanceStream) {}

  Result<> furnish();
  void run(nanoseconds every, const std::function<bool()>& go_on);

 private:
  friend class VirtualTime;
  static constexpr std::size_t kFrameBytes = 768;  // of a coroutine, what it mostly touches
  static constexpr std::uint64_t kChanceStream = ~0ull;  // no role's

  enum class Kind : std::uint8_t { ready, deliver, timer, sample, arrive, crash, replace };
  struct Occurrence {
    Time at;
    std::uint32_t role;
    std::uint32_t item;  // its packet, read or crash; of a gradient: the role's generation
    Kind kind;
  };

  struct SimulatedRole final : RoleHost {
    SimulatedRole(Driver& d, const RoleSetup& setup) : RoleHost(setup), driver(d) {}
    ~SimulatedRole() override { abandon(); }
    bool start(GradientOp& op) override { return driver.start(*this, op); }
    bool start(ReceiveOp& op) override { return driver.start(*this, op); }
    bool start(PinOp& op) override { return driver.start(*this, op); }
    bool take(const Wanted& wanted, Packet& out) override { return inbox.take(wanted, out); }
    void send(Address to, const Packet& packet) override { driver.send(*this, to, packet); }
    void prefetch(SlotRef slot, std::uint64_t at_least) override {
      driver.read(*this, slot, at_least);
    }
    std::uint64_t newest(SlotRef ref) const override { return driver.newest(*this, ref); }
    Slot slot(std::uint32_t index) override { return driver.slot({self(), index}); }
    bool running() override { return driver.running(*this); }
    void record(const Event& event) override { driver.record(*this, event); }
    nanoseconds now() const override { return nanoseconds(driver.now_); }
    nanoseconds allowed(std::uint64_t) override { return driver.plan_.conditions.patience; }
    Vector allocate(std::string_view name) override;
    Packet news() const { return gone_packet(self(), gone.crashed, gone.returns); }

    Driver& driver;
    GradientOp* computing = nullptr;
    ReceiveOp* receiving = nullptr;
    PinOp* pinning = nullptr;
    std::unique_ptr<GradientEngine> engine;
    std::uint32_t generation = 0;  // how many had the role before
    std::uint32_t group = 0;
    std::size_t first_slot = 0;  // in the group's arena
    Inbox inbox;
    std::uint64_t wait = 0;  // counts parkings, so that an old poll does not wake a new wait
    Time deadline = kNever, timer_at = kNever, last_arrival = 0, last_late = 0;
    std::uint32_t slowness_percent = 0;
    bool claimed = false;  // a step of those that are shared, which it has not taken yet
    bool dead = true;
    Gone gone{};             // what others hear of a dead one,
    Time known_dead_at = 0;  // from then on
    std::vector<std::unique_ptr<std::byte[]>> memory;
    Task<> task;  // last: what it holds goes first
  };

  /// A group's copy of a slot of another group.
  struct Mirror {
    Arena arena;
    Slot slot;
    std::uint64_t known = 0;  // the newest version that somebody here asked for
    bool reading = false;
    Pin in_flight{};
    std::vector<std::uint32_t> waiting{};  // for the read under way,
    std::vector<std::uint32_t> late{};     // and who asked for a version when it was under way
  };
  struct Read {
    std::uint32_t group;
    SlotRef slot;
  };

  bool start(SimulatedRole& role, GradientOp& op);
  bool start(SimulatedRole& role, ReceiveOp& op);
  bool start(SimulatedRole& role, PinOp& op);
  void send(SimulatedRole& from, Address to, const Packet& packet);
  void read(SimulatedRole& role, SlotRef ref, std::uint64_t at_least);
  std::uint64_t newest(const SimulatedRole& role, SlotRef ref) const;
  Slot slot(SlotRef ref) const {
    const SimulatedRole& owner = *roles_[ref.owner.index];
    return arenas_[owner.group].slot(owner.first_slot + ref.index);
  }
  bool running(SimulatedRole& role) {
    if (!plan_.share_steps) return role.steps() < plan_.steps;
    if (!role.claimed && claimed_ < plan_.steps * plan_.place.workers()) {
      role.claimed = true;
      ++claimed_;
    }
    return role.claimed;
  }
  void meter(const SimulatedRole& reader, const PinOp& op);
  Mirror& mirror(std::uint32_t group, SlotRef ref);
  void record(const SimulatedRole& role, const Event& event);
  /// The newest parameters of who leads; empty while nobody has published any.
  Pin leaders() const;
  void write_first(const SimulatedRole& role, Vector x) const;
  Vector passing_gradient();
  std::unique_ptr<SimulatedRole> make(Address self, std::uint32_t generation);
  void enliven(SimulatedRole& role);  // which then waits for its first resume()

  void schedule(Time at, std::uint32_t role, Kind kind, std::uint32_t item = 0);
  void park(SimulatedRole& role, nanoseconds within);
  Time delay(std::uint32_t from_group, std::uint32_t to_group);
  /// When what a group sends now has left its link, behind what was sent before.
  Time leaves_link(std::uint32_t from_group, std::uint32_t to_group, std::uint64_t bytes);
  /// When groups that are parted now hear of each other again; 0: they do.
  Time parted_until(std::uint32_t a, std::uint32_t b) const;
  Time stretched(Time duration, std::uint32_t percent);
  void post(Time at, Address to, const Packet& packet);

  bool turn();
  /// Fetches into the cache what an occurrence will need.
  /// @param next  when what is near has come: what it points to
  void expect(const Occurrence& o, bool next) const;
  void handle(const Occurrence& o);
  void deliver(SimulatedRole& role, const Packet& packet);
  void sample(const Occurrence& o);
  void arrive(const Occurrence& o);
  bool serve(const Mirror& mirror, SlotRef ref, std::uint32_t waiting, bool last_chance);
  void wake(SimulatedRole& role);
  void settle(SimulatedRole& role);  // buries a role that has ended
  void bury(SimulatedRole& role, bool crashed, bool returns = false);
  void crash(SimulatedRole& role, const Conditions::Crash& crash);
  void replace(std::uint32_t index);
  void tell_leaders(const SimulatedRole& worker, Time at, const Packet& news);
  void send_back(const SimulatedRole& role, const Packet& packet);

  template <class T>
  static std::uint32_t keep(std::vector<T>& items, std::vector<std::uint32_t>& free,
                            const T& item) {
    if (free.empty()) {
      items.push_back(item);
      return static_cast<std::uint32_t>(items.size() - 1);
    }
    const std::uint32_t at = free.back();
    free.pop_back();
    items[at] = item;
    return at;
  }

  const VirtualRun plan_;
  const std::shared_ptr<const void> hyper_;
  Rng chance_;
  Time now_ = 0;
  std::uint64_t events_ = 0, claimed_ = 0;
  std::uint32_t alive_ = 0;  // or to be replaced
  Rank leader_ = kNobody;    // elected last
  Traffic traffic_;
  std::vector<Moved> moved_;  // by role
  std::vector<Record> records_;
  EventQueue<Occurrence> queue_, timers_;  // a deadline comes after all of its instant (VT-2)
  std::vector<Packet> packets_;
  std::vector<Read> reads_;
  std::vector<std::uint32_t> free_packets_, free_reads_;
  std::deque<std::pair<std::uint32_t, std::uint64_t>> polls_;  // role, its wait
  std::vector<Time> link_busy_until_;                          // by group
  std::unique_ptr<std::byte[]> passing_gradient_;              // of all, where one will do
  std::vector<Arena> arenas_;                                  // by group; pins go before them
  std::map<std::pair<std::uint32_t, SlotRef>, std::unique_ptr<Mirror>> mirrors_;
  std::vector<std::unique_ptr<SimulatedRole>> roles_, retired_;  // who has a role, and who had one
};

}  // namespace paceline
