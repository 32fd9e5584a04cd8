// Roles inside actors, on CAF's deterministic scheduler.
#include "paceline/actors/service.h"

#include <cstring>

#include "actors/actor_stage.h"
#include "actors/simulated_run.h"

namespace paceline {
namespace {

/// A leader that waits for notes, three at most, five seconds each.
struct Waiting {
  struct Hyper {
    template <class F>
    void each(F) {}
    Result<> validate(const Place&) const { return success(); }
  };
  struct Note {
    std::uint64_t number;
  };
  struct Other {};
  using Message = std::variant<Note, Other>;
  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    if (role != Role::leader) return {};
    return {{math.bytes(dimension)}};
  }
  static bool whole_vectors(Role) { return false; }

  static Task<> leader(Port<Waiting> port) {
    port.publish(kParameters, port.x());
    Pin held = port.pin_held(port.self(), kParameters);
    for (int i = 0; i < 3; ++i) {
      auto note = co_await port.receive<Note>(5s);
      if (note)
        port.count("note", note->number);
      else
        port.count("timeout");
    }
  }
  /// A long wait, then a short one.
  static Task<> global(Port<Waiting> port) {
    co_await port.receive<Note>(30s);
    auto second = co_await port.receive<Note>(1s);
    if (!second) port.count("timeout");
  }
  static Task<> worker(Port<Waiting> port) {
    auto gone = co_await port.receive<Gone>(1000s);
    if (gone) port.count("gone");
  }
};
const Protocol kWaiting = describe<Waiting>("waiting", "a test", "none");

Packet note(Address from, std::uint64_t number) {
  Packet packet;
  packet.from = from.index;
  packet.kind = 1;
  packet.bytes = sizeof number;
  std::memcpy(packet.payload, &number, sizeof number);
  return packet;
}
std::uint64_t counted(const RoleHost& host, std::string_view name) {
  const auto it = host.counts().find(name);
  return it == host.counts().end() ? 0 : it->second;
}

class Service : public testing::Test {
 protected:
  ActorStage stage{kWaiting, {1, 1}, {}, Sgd{}};
  ServiceHost& leader = stage.service(0);
  const Address here = stage.context().place.leader(0), worker = stage.context().place.worker(0);
};

TEST_F(Service, TakesWhatItWaitsForAndLeavesTheRest) {
  stage.begin();
  Packet other = note(worker, 0);
  other.kind = 2;
  stage.tell(here, other);
  EXPECT_EQ(counted(leader, "note"), 0u);
  stage.tell(here, note(worker, 7));
  EXPECT_EQ(counted(leader, "note"), 7u);
  EXPECT_EQ(counted(leader, "timeout"), 0u);
}

TEST_F(Service, AMessageThatCameBeforeItsRoleBeganIsNotLost) {
  stage.tell(here, note(worker, 7));
  stage.begin();
  EXPECT_EQ(counted(leader, "note"), 7u);
}

TEST_F(Service, EveryWaitEndsAtItsOwnDeadlineAndNotAtThatOfAnEarlierOne) {
  stage.begin();
  stage.advance(3s);
  stage.tell(here, note(worker, 1));  // the second wait begins at 3 s and ends at 8 s
  stage.advance(4s);
  EXPECT_EQ(counted(leader, "timeout"), 0u) << "at 7 s";
  stage.advance(1s);
  EXPECT_EQ(counted(leader, "timeout"), 1u) << "at 8 s";
  stage.advance(4s);
  EXPECT_EQ(counted(leader, "timeout"), 1u) << "at 12 s";
  stage.advance(1s);
  EXPECT_EQ(counted(leader, "timeout"), 2u) << "at 13 s";
}

TEST_F(Service, AShortWaitEndsInTimeThoughALongTimerIsPending) {
  const Address centre = stage.context().place.global();
  stage.begin();
  stage.tell(centre, note(worker, 1));
  stage.advance(900ms);
  EXPECT_EQ(counted(stage.service(1), "timeout"), 0u);
  stage.advance(100ms);
  EXPECT_EQ(counted(stage.service(1), "timeout"), 1u);
}

TEST_F(Service, TheTimeOfASuspensionCountsTowardsNoDeadline) {
  RunClock& clock = stage.context().live.clock;
  stage.begin();
  stage.advance(4s);
  const double wall = wall_seconds();
  clock.suspend(wall - 90);  // as if it had lasted that long already
  stage.advance(90s);
  EXPECT_EQ(counted(leader, "timeout"), 0u) << "still suspended";
  clock.go_on(wall);
  stage.advance(500ms);
  EXPECT_EQ(counted(leader, "timeout"), 0u) << "4.5 s without the suspension";
  stage.advance(1s);
  EXPECT_EQ(counted(leader, "timeout"), 1u);
}

TEST_F(Service, SaysForAWorkerWhatItsStateAnswers) {
  stage.begin();
  EXPECT_EQ(stage.context().words.seat(0).saved.load(), 0u);
  anonymously_tell(stage.context().directory[here.index], Saved{0, 3});
  stage.run();
  EXPECT_EQ(stage.context().words.seat(0).saved.load(), 3u);
}

TEST_F(Service, AnswersWithGoneOnceItsRoleHasEnded) {
  StagedWorker& asker = stage.add_worker(0, nullptr, 0);
  stage.begin();
  for (std::uint64_t i = 1; i <= 3; ++i) stage.tell(here, note(worker, i));
  EXPECT_EQ(counted(asker, "gone"), 0u);
  stage.tell(here, note(worker, 4));
  EXPECT_EQ(counted(asker, "gone"), 1u);
}

TEST_F(Service, EndingAParkedRoleGivesItsPinsBack) {
  stage.begin();
  const Slot slot = stage.context().arenas->slot({here, kParameters});
  for (int i = 0; i < 2; ++i)
    EXPECT_TRUE(slot.loan().has_value()) << "one pinned, one newest: one is left";
  std::move(*slot.loan()).publish();
  std::move(*slot.loan()).publish();
  const Pin second = slot.pin();
  ASSERT_TRUE(second);
  std::move(*slot.loan()).publish();
  EXPECT_FALSE(slot.loan().has_value()) << "the role's pin, ours, and the newest";
  leader.clear();
  EXPECT_TRUE(slot.loan().has_value());
}

TEST_F(Service, BuffersLieBehindPublishedParametersAndNobodyElseWritesThere) {
  struct Buffered final : ServiceHost {
    using ServiceHost::ServiceHost;
    void write_buffers(std::span<std::byte> to) override {
      std::ranges::fill(to, std::byte{7});
      written = to.size();
    }
    std::size_t written = 0;
  };
  Layout layout;
  layout.elements = stage.dimension();
  layout.buffer_elements = 32;
  RunContext& context = stage.context();
  context.arenas = std::make_unique<GroupArenas>(GroupArenas::create(*find_protocol("easgd"),
                                                                     context.device->math(), layout,
                                                                     context.place, "service")
                                                     .value());
  const std::size_t parameters = 4 * layout.elements, buffers = 4 * layout.buffer_elements;
  Buffered host(context, worker);
  for (const std::uint32_t slot : {kParameters, 1u}) {
    std::size_t seen = 0;
    host.written = 0;
    host.publish(slot, [&](std::span<std::byte> to) {
      seen = to.size();
      std::ranges::fill(to, std::byte{3});
    });
    EXPECT_EQ(seen, parameters);
    EXPECT_EQ(host.written, slot == kParameters ? buffers : 0);
    const Pin pin = host.slot(slot).pin();
    EXPECT_EQ(pin.bytes()[parameters - 1], std::byte{3});
    if (slot == kParameters) {
      EXPECT_EQ(pin.bytes()[parameters], std::byte{7});
    }
  }
}

TEST(LsgdOnActors, BarrierEqualsVirtualTimeBitForBit) {
  const Place place{2, 2};
  const Settings settings{{"mode", "barrier"},
                          {"lockstep", "true"},
                          {"tau", "2"},
                          {"tau_global", "4"},
                          {"score_window", "2"}};
  const Sgd sgd{
      .learning_rate = 1e-4, .momentum = 0.9, .weight_decay = 0, .form = Momentum::nesterov};
  constexpr std::uint64_t kSteps = 18;
  const Protocol& lsgd = *find_protocol("lsgd");
  ActorStage stage(lsgd, place, settings, sgd);
  const auto engine = [&](Rank rank) {
    return std::make_unique<LeastSquares<float>>(8, stage.dimension(), 2, Rng(7, rank));
  };
  std::vector<StagedWorker*> workers;
  for (Rank r = 0; r < place.workers(); ++r)
    workers.push_back(&stage.add_worker(r, engine(r), kSteps));
  stage.begin();

  VirtualRun run;
  run.protocol = &lsgd;
  run.settings = settings;
  run.place = place;
  run.dimension = stage.dimension();
  run.math = &vector_math_f32();
  run.sgd = sgd;
  run.engine = engine;
  run.initial = [&](Address, Vector x) {
    std::memcpy(x.data, stage.context().initial.data(), x.count * sizeof(float));
  };
  run.steps = kSteps;
  VirtualTime time = ride(run);

  for (Rank r = 0; r < place.workers(); ++r) {
    EXPECT_EQ(workers[r]->steps(), kSteps);
    EXPECT_GT(counted(*workers[r], "pull") + counted(*workers[(r + 1) % 4], "pull"), 0u);
    const Vector here = workers[r]->vector("x"), there = time.worker(r).vector("x");
    EXPECT_EQ(std::memcmp(here.data, there.data, here.count * sizeof(float)), 0) << "worker " << r;
  }
  std::vector<Rank> led, expected;
  for (const Observation& o : stage.observed)
    if (const auto* e = std::get_if<LeaderEvent>(&o.event); e && e->scope == Scope::global)
      led.push_back(e->rank);
  for (const auto& record : time.records())
    if (const auto* e = std::get_if<LeaderEvent>(&record.event); e && e->scope == Scope::global)
      expected.push_back(e->rank);
  EXPECT_EQ(led, expected);
  EXPECT_GE(led.size(), 4u);
}

/// Takes no gradient, but does something in its first step.
class FirstStep final : public GradientEngine {
 public:
  explicit FirstStep(std::function<void()> what) : what_(std::move(what)) {}
  double gradient(ConstVector, Vector g, Rng&) override {
    vector_math_f32().fill(g, 0);
    if (what_) std::exchange(what_, nullptr)();
    return 1;
  }

 private:
  std::function<void()> what_;
};

TEST(EasgdOnActors, APushThatSomebodyWroteIntoIsLostAndTheNextOneCounts) {
  constexpr std::uint32_t kElastic = 1;
  const Protocol& easgd = *find_protocol("easgd");
  ActorStage stage(easgd, {1, 1}, {{"tau", "1"}, {"beta", "0.9"}}, Sgd{});
  RunContext& context = stage.context();
  context.arenas = std::make_unique<GroupArenas>(
      GroupArenas::create(easgd, context.device->math(), context.network.layout(), context.place,
                          "easgd", {}, true)
          .value());
  StagedWorker& worker =
      stage.add_worker(0, std::make_unique<FirstStep>([&] {
                         const Pin pin = context.arenas->slot({{0}, kElastic}).pin();
                         ASSERT_TRUE(pin);
                         const_cast<std::byte&>(pin.bytes()[9]) ^=  // NOLINT
                             std::byte{1};
                       }),
                       3);
  stage.begin();
  for (int i = 0; i < 10; ++i) stage.advance(10s);
  EXPECT_EQ(worker.steps(), 3u);
  EXPECT_EQ(counted(stage.service(0), "elastic"), 2u);
  EXPECT_EQ(context.arenas->damaged().size(), 1u);
}

}  // namespace
}  // namespace paceline
