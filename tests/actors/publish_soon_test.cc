// Publishing beside the next steps (RH-5, RH-6), on an algebra whose copies take their time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "forwarding_math.h"
#include "paceline/net/arena.h"
#include "simulated_run.h"

namespace paceline {
namespace {

/// f64; a copy that is begun is seen to be done when asked for the `polls`-th time, and writes nothing
/// before that.
class SlowMath final : public ForwardingMath {
 public:
  explicit SlowMath(int polls) : ForwardingMath(vector_math_f64()), polls_(polls) {}
  std::unique_ptr<PendingCopy> begin_copy(Vector y, ConstVector x) const override {
    ++begun;
    return std::make_unique<Copy>(*this, y, x);
  }
  mutable int begun = 0, under_way = 0;

 private:
  struct Copy final : PendingCopy {
    Copy(const SlowMath& m, Vector y, ConstVector x)
        : math(m), to(y), polls(m.polls_), values(x.count) {
      math.copy({values.data(), x.count}, x);
      ++math.under_way;
    }
    ~Copy() override { end(); }
    bool done() override {
      if (--polls <= 0) end();
      return !to;
    }
    void end() {
      if (!to) return;
      math.copy(*to, {values.data(), values.size()});
      to.reset();
      --math.under_way;
    }
    const SlowMath& math;
    std::optional<Vector> to;
    int polls;
    Values values;
  };
  const int polls_;
};

/// f64; what returns no number is done when somebody waits for it, as on a device with a queue.
class QueueingMath final : public ForwardingMath {
 public:
  QueueingMath() : ForwardingMath(vector_math_f64()) {}
  void copy(Vector y, ConstVector x) const override {
    queue.push_back([=, this] { ForwardingMath::copy(y, x); });
  }
  void pull(Vector x, const Pull& pull) const override {
    queue.push_back([=, this] { ForwardingMath::pull(x, pull); });
  }
  void update(const Sgd& sgd, Vector x, Vector momentum, ConstVector g,
              std::span<const Pull> pulls) const override {
    finish();
    const std::vector<Pull> all(pulls.begin(), pulls.end());
    queue.push_back([=, this] { ForwardingMath::update(sgd, x, momentum, g, all); });
  }
  bool finite(ConstVector x) const override {
    finish();
    return ForwardingMath::finite(x);
  }
  void finish() const override {
    for (const auto& work : std::exchange(queue, {})) work();
  }
  mutable std::vector<std::function<void()>> queue;
};

/// A worker with running statistics behind its parameters, whose x is what a test makes it.
class Publisher final : public RoleHost {
 public:
  static constexpr std::size_t kBuffers = 3;
  Publisher(const Place& place, const VectorMath& math) : RoleHost(setup(place, math)) {}
  ~Publisher() override { abandon(); }

  bool start(GradientOp&) override { return true; }
  bool start(ReceiveOp&) override { return true; }
  bool start(PinOp&) override { return true; }
  bool take(const Wanted&, Packet&) override { return false; }
  void send(Address, const Packet&) override {}
  void prefetch(SlotRef, std::uint64_t) override {}
  std::uint64_t newest(SlotRef) const override { return 0; }
  Slot slot(std::uint32_t) override { return arena.slot(0); }
  bool running() override { return true; }
  void record(const Event&) override {}
  nanoseconds now() const override { return {}; }

  /// Makes all of x, and of the running statistics, this number.
  void set(double value) {
    math().fill(vector("x"), value);
    std::ranges::fill(buffers, value);
  }
  std::uint64_t soon() { return publish_soon(kParameters, vector("x")); }
  std::uint64_t publish_now() { return publish(kParameters, vector("x")); }
  /// What everyone reads; nothing where it is not the same number all over.
  std::optional<double> published() {
    const Pin pin = arena.slot(0).pin();
    if (!pin) return std::nullopt;
    const std::span<const double> all{reinterpret_cast<const double*>(pin.bytes().data()),
                                      kDimension + kBuffers};
    for (const double value : all)
      if (value != all[0]) return std::nullopt;
    return all[0];
  }
  std::uint64_t version() { return arena.slot(0).version(); }
  std::uint64_t counted(std::string_view what) const {
    const auto it = counts().find(what);
    return it == counts().end() ? 0 : it->second;
  }

  const Arena arena =
      Arena::local({.name = "publisher", .slots = {{(kDimension + kBuffers) * sizeof(double)}}})
          .value();
  Values buffers = Values(kBuffers, 0.0), x = Values(kDimension, 0.0), g = x, momentum = x;

 private:
  static RoleSetup setup(const Place& place, const VectorMath& math) {
    RoleSetup setup;
    setup.self = {0};
    setup.place = place;
    setup.math = &math;
    setup.dimension = kDimension;
    return setup;
  }
  bool begin_again(std::string_view) override { return true; }
  nanoseconds allowed(std::uint64_t) override { return {}; }
  Vector allocate(std::string_view name) override {
    Values& values = name == "x" ? x : name == "g" ? g : momentum;
    return {values.data(), kDimension};
  }
  void write_buffers(std::span<std::byte> to) override {
    math().copy({to.data(), kBuffers}, {buffers.data(), kBuffers});
  }
  std::unique_ptr<PendingCopy> begin_buffers(std::span<std::byte> to) override {
    return math().begin_copy({to.data(), kBuffers}, {buffers.data(), kBuffers});
  }
};

TEST(PublishSoon, IsPublishWhereTheDeviceCopiesAtOnce) {
  Publisher worker({1, 1}, vector_math_f64());
  for (std::uint64_t version = 1; version <= 5; ++version) {
    worker.set(static_cast<double>(version));
    EXPECT_EQ(worker.soon(), version);
    EXPECT_EQ(worker.published(), static_cast<double>(version));
  }
  EXPECT_TRUE(worker.counts().empty());
}

TEST(PublishSoon, ShowsNoVersionBeforeItIsCopiedAndThenThatOfItsMoment) {
  const SlowMath math(3);
  Publisher worker({1, 1}, math);
  for (std::uint64_t version = 1; version <= 5; ++version) {
    worker.set(static_cast<double>(version));
    EXPECT_EQ(worker.soon(), 0u);
    for (int boundary = 0; boundary < 2; ++boundary) {
      worker.set(-1);
      EXPECT_EQ(worker.soon(), 0u);
      EXPECT_EQ(worker.version(), version - 1);
    }
    EXPECT_EQ(worker.soon(), version);
    EXPECT_EQ(worker.published(), static_cast<double>(version)) << "with the buffers of the time";
    EXPECT_EQ(math.under_way, 0);
  }
  EXPECT_EQ(worker.counted("pending"), 10u);
  EXPECT_EQ(worker.counted("busy"), 0u);
}

TEST(PublishSoon, IsCompletedByAPublishOfTheSameSlot) {
  const SlowMath math(1000);
  Publisher worker({1, 1}, math);
  worker.set(1);
  EXPECT_EQ(worker.soon(), 0u);
  worker.set(2);
  EXPECT_EQ(worker.publish_now(), 2u) << "and no second loan is a bug";
  EXPECT_EQ(worker.published(), 2.0);
  EXPECT_EQ(math.under_way, 0);
  worker.set(3);
  EXPECT_EQ(worker.soon(), 0u);
  Pin pins[2] = {worker.arena.slot(0).pin(), {}};
  EXPECT_EQ(worker.publish(kParameters,
                           [&](std::span<std::byte> to) {
                             pins[1] = worker.arena.slot(0).pin();
                             EXPECT_EQ(pins[1].version(), 3u) << "what was on its way is not lost";
                             math.fill({to.data(), kDimension}, 4);
                             worker.buffers.assign(Publisher::kBuffers, 4);
                           }),
            4u);
  EXPECT_EQ(worker.published(), 4.0);
  worker.set(5);
  EXPECT_EQ(worker.soon(), 0u) << "readers hold every other buffer";
  EXPECT_EQ(worker.counted("busy"), 1u);
  EXPECT_EQ(math.under_way, 0);
}

TEST(PublishSoon, OfWhatIsNotFiniteBeginsAgainAndGivesUpWhatIsOnItsWay) {
  const SlowMath math(1000);
  Publisher worker({1, 1}, math);
  worker.set(NAN);
  EXPECT_EQ(worker.soon(), 0u);
  EXPECT_EQ(math.begun, 0);
  EXPECT_EQ(worker.begun_again(), 1u);
  worker.set(1);
  EXPECT_EQ(worker.soon(), 0u);
  worker.count_step(NAN);
  EXPECT_EQ(worker.begun_again(), 2u);
  EXPECT_EQ(math.under_way, 0) << "it was waited for";
  EXPECT_EQ(worker.version(), 0u);
  worker.set(2);
  EXPECT_EQ(worker.publish_now(), 1u) << "the loan came back";
}

TEST(PublishSoon, LeavesNothingBehindWhenItsRoleEnds) {
  const SlowMath math(1000);
  Publisher worker({1, 1}, math);
  worker.set(1);
  worker.soon();
  EXPECT_EQ(math.under_way, 2) << "parameters and buffers";
  worker.abandon();
  EXPECT_EQ(math.under_way, 0);
  EXPECT_EQ(worker.version(), 0u);
  EXPECT_TRUE(worker.arena.slot(0).loan());
  worker.soon();
  {
    Publisher other({1, 1}, math);
    other.set(1);
    other.soon();
  }
  EXPECT_EQ(math.under_way, 2) << "its own, but not those of who is gone";
}

TEST(RoleHost, WaitsForADeviceThatQueuesBeforeAnybodyMaySee) {
  const QueueingMath math;
  Publisher worker({1, 1}, math);
  worker.set(1);
  EXPECT_EQ(worker.publish_now(), 1u);
  EXPECT_EQ(worker.published(), 1.0);
  worker.set(2);
  EXPECT_EQ(worker.soon(), 2u);
  EXPECT_EQ(worker.published(), 2.0);
  const Pin leader = worker.arena.slot(0).pin();
  const Pull pull{{leader.bytes().data(), kDimension}, 1};
  worker.set(5);
  worker.pull(pull);
  EXPECT_TRUE(math.queue.empty()) << "the leader's pin may go";
  EXPECT_EQ(worker.x, Values(kDimension, 2.0));
  worker.update({&pull, 1});
  EXPECT_TRUE(math.queue.empty());
  worker.update({});
  EXPECT_FALSE(math.queue.empty()) << "nobody else's: no wait";
}

std::uint64_t count_of(VirtualTime& time, Rank worker, std::string_view what) {
  const auto& counts = time.worker(worker).counts();
  const auto it = counts.find(what);
  return it == counts.end() ? 0 : it->second;
}

TEST(PublishSoon, CarriesALeaderRunWhoseCopiesTakeSeveralSteps) {
  for (const int polls : {1, 3}) {
    const SlowMath math(polls);
    VirtualRun run = plan("lsgd", {2, 3}, {{"tau", "4"}, {"tau_global", "8"}}, kRough);
    run.math = &math;
    VirtualTime time = ride(run);
    EXPECT_GT(math.begun, 0);
    EXPECT_EQ(math.under_way, 0);
    for (Rank rank = 0; rank < run.place.workers(); ++rank) {
      EXPECT_EQ(time.worker(rank).steps(), run.steps);
      EXPECT_GE(time.worker(rank).slot(kParameters).version(), run.steps / 8);
      EXPECT_GT(count_of(time, rank, "pull"), 0u);
      EXPECT_EQ(count_of(time, rank, "pending") > 0, polls > 1);
      EXPECT_TRUE(time.worker(rank).slot(kParameters).loan());
      const Pin last = time.worker(rank).slot(kParameters).pin();
      const auto* last_values = reinterpret_cast<const double*>(last.bytes().data());
      EXPECT_EQ(Values(last_values, last_values + kDimension), values(time.worker(rank)))
          << "the end is published as it is";
    }
  }
}

TEST(PublishSoon, IsGivenBackByWorkersThatCrashAndAreReplaced) {
  const SlowMath math(1000);
  VirtualRun run = plan("lsgd", {1, 3}, {{"tau", "1"}, {"tau_global", "1"}}, kRough);
  run.math = &math;
  run.share_steps = true;
  run.conditions.crashes = {{5ms, {0}, 1ms}, {9ms, {1}, 1ms}, {30ms, {2}}};
  VirtualTime time = ride(run);
  EXPECT_EQ(math.under_way, 0);
  for (Rank rank = 0; rank < 2; ++rank) EXPECT_TRUE(time.worker(rank).slot(kParameters).loan());
}

}  // namespace
}  // namespace paceline
