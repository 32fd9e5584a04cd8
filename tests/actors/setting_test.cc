#include "paceline/actors/setting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "paceline/actors/protocol.h"

namespace paceline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal(std::string_view protocol, const Settings& settings, Place place = {2, 2}) {
  auto hyper = find_protocol(protocol)->hyper(settings, place);
  return hyper ? "" : hyper.error().message;
}

TEST(Setting, AnUnknownKeyIsRefusedNamingTheKnownOnes) {
  const std::string message = refusal("lsgd", {{"tua", "4"}});
  EXPECT_THAT(message, HasSubstr("tua"));
  EXPECT_THAT(message, HasSubstr("tau_global"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
}

TEST(Setting, ABadValueIsRefusedSayingWhatWouldDo) {
  for (const char* bad : {"", "x", "-1", "4.5", "4 ", "99999999999999999999999"})
    EXPECT_THAT(refusal("lsgd", {{"tau", bad}}), HasSubstr("whole number")) << bad;
  for (const char* bad : {"nan", "inf", "0.1x", ""})
    EXPECT_THAT(refusal("lsgd", {{"pull", bad}}), HasSubstr("finite number")) << bad;
  EXPECT_THAT(refusal("lsgd", {{"mode", "sync"}}), HasSubstr("barrier, nonblocking"));
  EXPECT_THAT(refusal("lsgd", {{"lockstep", "1"}}), HasSubstr("false, true"));
}

TEST(Setting, ContradictionsAreRefused) {
  EXPECT_THAT(refusal("lsgd", {{"tau", "8"}, {"tau_global", "4"}}), HasSubstr("multiple"));
  EXPECT_THAT(refusal("lsgd", {{"tau", "3"}, {"tau_global", "4"}}), HasSubstr("multiple"));
  EXPECT_THAT(refusal("lsgd", {{"tau", "0"}}), HasSubstr("at least 1"));
  EXPECT_THAT(refusal("lsgd", {{"pull", "1.5"}}), HasSubstr("0 to 1"));
  EXPECT_THAT(refusal("lsgd", {{"score_window", "0"}}), HasSubstr("at least 1"));
  EXPECT_THAT(refusal("lsgd", {{"lockstep", "true"}}), HasSubstr("barrier"));
  EXPECT_THAT(refusal("easgd", {{"beta", "5"}}), HasSubstr("number of workers"));
}

TEST(Setting, GoodValuesAreTakenByName) {
  EXPECT_EQ(refusal("lsgd", {{"tau", "2"},
                             {"tau_global", "8"},
                             {"mode", "barrier"},
                             {"lockstep", "true"}}),
            "");
}

TEST(Protocol, IsFoundByNameAndSaysWhatItsRolesTouch) {
  EXPECT_EQ(find_protocol("sgdl"), nullptr);
  EXPECT_GE(protocols().size(), 3u);
  for (const Protocol* p : protocols()) {
    EXPECT_EQ(find_protocol(p->name), p);
    EXPECT_TRUE(p->worker && p->worker.whole_vectors);
    EXPECT_GE(p->slots(Role::worker, vector_math_f32(), 100, {}).size(), 1u);
  }
  EXPECT_FALSE(find_protocol("lsgd")->has_centre());
  EXPECT_TRUE(find_protocol("easgd")->has_centre());
}

}  // namespace
}  // namespace paceline
