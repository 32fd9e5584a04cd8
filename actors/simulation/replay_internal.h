// Behind Replay: the roles and what they wait for. Threading: one thread.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <utility>

#include "paceline/actors/simulation/replay.h"
#include "paceline/actors/task.h"

namespace paceline {

class Replay::Stage {
 public:
  using Kind = CourseEntry::Kind;

  Stage(const Course& course, Training& training) : course_(course), training_(training) {}
  Result<> furnish();
  Result<> run();

 private:
  friend class Replay;

  /// Leaves a role whose course says something else than it does.
  struct Misfit {
    std::string text;
  };

  struct ReplayedRole final : RoleHost {
    ReplayedRole(Stage& s, const RoleSetup& setup) : RoleHost(setup), stage(s) {}
    ~ReplayedRole() override { abandon(); }
    bool start(GradientOp& op) override { return computing = &op, false; }
    bool start(ReceiveOp& op) override { return receiving = &op, false; }
    bool start(PinOp& op) override;
    bool take(const Wanted& wanted, Packet& out) override;
    void send(Address to, const Packet& packet) override { stage.send(*this, to, packet); }
    void prefetch(SlotRef, std::uint64_t) override {}
    std::uint64_t newest(SlotRef slot) const override;
    Slot slot(std::uint32_t index) override { return arena->slot(index); }
    std::optional<Loan> loan(std::uint32_t index) override;
    bool running() override { return next(Kind::running).value != 0; }
    double learning_rate() override;
    void record(const Event& event) override { stage.records_.push_back({self(), event}); }
    nanoseconds now() const override { return nanoseconds(stage.lived_); }
    nanoseconds allowed(std::uint64_t) override { return nanoseconds(0); }
    Vector allocate(std::string_view name) override;
    void write_buffers(std::span<std::byte> to) override;

    /// The entry that comes next, which has to be of that kind.
    const CourseEntry& next(Kind kind) const;
    const CourseEntry* peek() const {
      return at < entries.size() ? &stage.course_.entries[entries[at]] : nullptr;
    }
    Misfit misfit(Kind asked) const;

    Stage& stage;
    std::vector<std::uint64_t> entries;  // of the course, this role's
    mutable std::size_t at = 0;          // the next of them
    std::optional<Arena> arena;
    std::unique_ptr<GradientEngine> engine;
    std::vector<std::unique_ptr<DeviceMemory>> memory;
    std::deque<Packet> inbox;
    GradientOp* computing = nullptr;  // at most one of the three: what the role waits for
    ReceiveOp* receiving = nullptr;
    PinOp* pinning = nullptr;
    bool ended = false;
    Packet gone{};
    Task<> task;  // last: what it holds goes first
  };

  /// A version that somebody has still to pin, or pins.
  struct Kept {
    std::optional<Arena> arena;
    std::uint64_t wanted = 0;  // pins of the course to come
  };
  using Version = std::pair<SlotRef, std::uint64_t>;

  Result<> refuse_unlike() const;
  void count_pins();
  void live(ReplayedRole& role);  // through what it waits for, to the next wait
  bool ready(const ReplayedRole& role) const;
  void send(ReplayedRole& from, Address to, const Packet& packet);
  void settle(ReplayedRole& role);
  bool published(SlotRef slot, std::uint64_t version) const;
  void keep(SlotRef slot);  // its newest version, if somebody is to pin it
  Pin pin(SlotRef slot, std::uint64_t version);
  std::string stuck() const;
  Error wrong(const ReplayedRole& role, const std::string& what) const;
  void differs(std::string what) {
    if (difference_.empty()) difference_ = std::move(what);
  }

  const Course& course_;
  Training& training_;
  std::int64_t lived_ = 0;        // entries, which stand for nanoseconds in the words of faults
  std::map<Version, Kept> kept_;  // pins go before them
  std::vector<std::unique_ptr<ReplayedRole>> roles_;
  std::vector<Record> records_;
  std::string difference_;
  std::optional<CourseEntry> leader_;
};

}  // namespace paceline
