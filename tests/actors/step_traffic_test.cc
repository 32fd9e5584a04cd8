// Traffic against the table of ALGORITHMS 0, in f32: bytes per parameter and step of one worker.
#include "paceline/actors/simulation/step_traffic.h"

#include <gtest/gtest.h>

namespace paceline {
namespace {

double bytes(std::string_view protocol, const Settings& settings, Place place = {1, 4}) {
  const auto counted = bytes_per_parameter_step(*find_protocol(protocol), settings, place);
  EXPECT_TRUE(counted) << protocol;
  return counted ? counted.value() : NAN;
}

TEST(StepTraffic, IsThatOfTheTableForEveryProtocol) {
  for (const std::uint32_t p : {2u, 4u, 6u}) {
    const double ring = 16.0 * (p - 1) / p;  // the rest: rosters
    EXPECT_NEAR(bytes("minibatch-sgd", {}, {1, p}), ring, 0.06) << p;
    EXPECT_NEAR(bytes("local-sgd", {{"tau", "6"}}, {p, 1}), ring / 6, 0.06) << p;
  }
  for (const char* name :
       {"downpour", "adownpour", "mvadownpour", "easgd", "eamsgd", "easgd-sync"}) {
    EXPECT_NEAR(bytes(name, {{"tau", "1"}}), 8, 0.02) << name;
    EXPECT_NEAR(bytes(name, {{"tau", "16"}}), 8.0 / 16, 0.02) << name;
  }
  EXPECT_NEAR(bytes("mdownpour", {}), 8, 0.02);
  // One leader: a follower reads 4 bytes every tau_G. Several: 4 / tau within, 4 / tau_G across.
  EXPECT_NEAR(bytes("lsgd", {{"tau_global", "16"}, {"mode", "barrier"}}), 4.0 / 16, 0.01);
  EXPECT_NEAR(bytes("lsgd", {{"mode", "barrier"}}, {2, 4}), 4.0 / 4 + 4.0 / 16, 0.02);
  EXPECT_NEAR(bytes("lgd", {}), 4, 0.01);
  EXPECT_NEAR(bytes("swarm", {{"geometric", "false"}, {"tau", "4"}}), 8.0 / 4, 0.02);
  EXPECT_NEAR(bytes("swarm", {{"tau", "4"}, {"mode", "barrier"}}), 8.0 / 4, 0.25);
  EXPECT_NEAR(bytes("diana", {}), 2.0 / 8 + 4, 0.01);
  for (const char* name : {"sgd", "msgd", "asgd", "mvasgd"}) EXPECT_EQ(bytes(name, {}), 0) << name;
}

TEST(StepTraffic, BadSettingsAreAnError) {
  EXPECT_FALSE(bytes_per_parameter_step(*find_protocol("lsgd"), {{"taus", "1"}}, {1, 4}));
}

}  // namespace
}  // namespace paceline
