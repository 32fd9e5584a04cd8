#include "paceline/actors/role_host.h"

#include "simulated_run.h"

namespace paceline {
namespace {

VirtualTime made(const VirtualRun& run) { return std::move(VirtualTime::create(run)).value(); }

TEST(RoleHost, OfAFusedPassTheShareOfLeadersIsThatOfTheirBytes) {
  VirtualRun run = plan("lsgd", {1, 2}, {});
  EXPECT_DOUBLE_EQ(made(run).worker(0).coordination_share(1), 1.0 / 4);  // x, x, g; z
  run.sgd.form = Momentum::nesterov;
  VirtualTime time = made(run);
  EXPECT_DOUBLE_EQ(time.worker(0).coordination_share(2), 2.0 / 7);  // x, x, m, m, g; z, z
  EXPECT_EQ(time.worker(0).coordination_share(0), 0);
}

TEST(RoleHost, GradientsThatAreTooLongAreScaledAndCounted) {
  VirtualRun run = plan("lsgd", {1, 1}, {});
  run.sgd.learning_rate = 1;
  run.clip_norm = 5;
  VirtualTime time = made(run);
  RoleHost& worker = time.worker(0);
  EXPECT_DOUBLE_EQ(worker.coordination_share(1), 1.0 / 5) << "the norm reads g once more";
  const auto step = [&](double a, double b) {  // of a gradient {a, b, 0, ...}
    const auto x = elements<double>(worker.vector("x")), g = elements<double>(worker.vector("g"));
    std::ranges::fill(x, 0.0);
    std::ranges::fill(g, 0.0);
    g[0] = a, g[1] = b;
    worker.update({});
    return Values{-x[0], -x[1], -x[2]};
  };
  EXPECT_EQ(step(3, 4), (Values{3, 4, 0})) << "just short enough";
  EXPECT_TRUE(worker.counts().empty());
  EXPECT_EQ(step(30, 40), (Values{3, 4, 0}));
  EXPECT_EQ(step(0, -6), (Values{0, -5, 0}));
  EXPECT_EQ(worker.counts().at("clipped"), 2u);
  for (const double bad : {HUGE_VAL, std::nan("")}) {
    const Values taken = step(bad, 1000);
    EXPECT_FALSE(std::isfinite(taken[0])) << "what is not finite is not hidden";
    EXPECT_EQ(taken[1], 1000);
  }
  EXPECT_EQ(worker.counts().at("clipped"), 2u);
}

TEST(RoleHost, VectorsAreNamedAndBeginAsInitialParametersOrZero) {
  const VirtualRun run = plan("lsgd", {1, 2}, {});
  VirtualTime time = made(run);
  RoleHost& worker = time.worker(1);
  EXPECT_EQ(values(worker, "x"), initial(run, {1}));
  EXPECT_EQ(values(worker, "anything"), Values(kDimension, 0.0));
  elements<double>(worker.vector("anything"))[3] = 7;
  EXPECT_EQ(values(worker, "anything")[3], 7);
  EXPECT_TRUE(worker.vectors().contains("anything"));
}

TEST(RoleHost, APublishThatReadersPreventIsCountedAndChangesNothing) {
  VirtualTime time = made(plan("lsgd", {1, 2}, {}));
  RoleHost& worker = time.worker(0);
  std::vector<Pin> pins;
  const auto nothing = [](std::span<std::byte>) {};
  for (int i = 0; i < 3; ++i) {
    EXPECT_GT(worker.publish(kParameters, nothing), 0u);
    pins.push_back(worker.slot(kParameters).pin());
  }
  EXPECT_EQ(worker.publish(kParameters, nothing), 0u);
  EXPECT_EQ(worker.slot(kParameters).version(), 3u);
  EXPECT_EQ(worker.counts().at("busy"), 1u);
  pins.pop_back();
  pins.pop_back();
  EXPECT_EQ(worker.publish(kParameters, nothing), 4u);
}

TEST(RoleHost, WhatIsMissingIsNamedWithTheLastSignOfLife) {
  VirtualTime time = made(plan("lsgd", {2, 2}, {}));
  Packet packet;
  packet.from = 3;
  packet.round = 7;
  const Place place{2, 2};
  time.role(place.leader(1)).heard(packet);
  const Address missing[] = {{2}, {3}};
  time.role(place.leader(1)).record_missing(8, "a score", missing);
  ASSERT_EQ(time.faults().size(), 1u);
  EXPECT_EQ(time.faults()[0],
            "round 8: leader of group 1 waited in vain for a score from worker 2 (never heard), "
            "worker 3 (last heard 0.000 s ago, in round 7)");
}

}  // namespace
}  // namespace paceline
