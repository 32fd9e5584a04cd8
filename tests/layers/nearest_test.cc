#include "paceline/layers/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace paceline {
namespace {

const std::vector<std::string> kOptions = {"workers", "groups", "tau", "tau-global", "lenet"};

TEST(Nearest, MisspeltWordsFindTheirOption) {
  EXPECT_EQ(nearest("worker", kOptions), "workers");
  EXPECT_EQ(nearest("wrokers", kOptions), "workers");
  EXPECT_EQ(nearest("taug", kOptions), "tau");
  EXPECT_EQ(nearest("tau_global", kOptions), "tau-global");
  EXPECT_EQ(nearest("LeNet", kOptions), "lenet");
  EXPECT_EQ(nearest("gropus", kOptions), "groups");
}

TEST(Nearest, NothingNearIsEmpty) {
  EXPECT_EQ(nearest("verbosity", kOptions), "");
  EXPECT_EQ(nearest("", kOptions), "");
  EXPECT_EQ(nearest("tau", {}), "");
}

TEST(Nearest, OfEqualsTheFirstIsMeant) {
  const std::vector<std::string> two = {"cnn7", "cnn6"};
  EXPECT_EQ(nearest("cnn8", two), "cnn7");
}

}  // namespace
}  // namespace paceline
