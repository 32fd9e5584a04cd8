#include "paceline/compute/convolution_choice_internal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "paceline/compute/cpu/convolution_ways_internal.h"
#include "temporary_folder.h"

namespace paceline::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ConvolutionChoiceTest : public testing::Test {
 protected:
  TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "deep" / "convolutions.txt";
  const std::vector<std::string> names = {kDirect, kWinograd};
  /// The choice for `what`, with these times; notes which were asked for.
  std::string choose(ConvolutionChoice& choice, const std::string& what,
                     std::vector<double> times) {
    asked = {};
    return choice.fastest(what, names, [&](std::size_t k) {
      asked.insert(k);
      return times[k];
    });
  }
  std::set<std::size_t> asked;
};

TEST_F(ConvolutionChoiceTest, TimesOnceAndRemembersInItsFile) {
  ConvolutionChoice first(file, "machine");
  EXPECT_EQ(choose(first, "forward: 3x3", {2, 1}), kWinograd);
  EXPECT_THAT(asked, ElementsAre(0, 1));
  EXPECT_EQ(choose(first, "forward: 3x3", {1, 2}), kWinograd);
  EXPECT_THAT(asked, IsEmpty());
  ConvolutionChoice second(file, "machine");
  EXPECT_EQ(choose(second, "forward: 3x3", {1, 2}), kWinograd);
  EXPECT_THAT(asked, IsEmpty());
}

TEST_F(ConvolutionChoiceTest, ABusyMomentDecidesNothing) {
  ConvolutionChoice choice({}, "machine");
  int runs = 0;  // the better one is disturbed at first
  EXPECT_EQ(choice.fastest("forward: 3x3", names,
                           [&](std::size_t k) {
                             return k == 1 && ++runs < 3 ? 9.0 : 2.0 - static_cast<double>(k);
                           }),
            kWinograd);
}

TEST_F(ConvolutionChoiceTest, AnotherMachineTimesForItself) {
  ConvolutionChoice first(file, "machine");
  choose(first, "forward: 3x3", {2, 1});
  ConvolutionChoice other(file, "machine of another kind");
  EXPECT_EQ(choose(other, "forward: 3x3", {1, 2}), kDirect);
  EXPECT_THAT(asked, ElementsAre(0, 1));
}

TEST_F(ConvolutionChoiceTest, PassesOverWhatItDoesNotUnderstand) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << "machine\tforward: 3x3\tquantum\nmachine\n\0\xff\nmachine\tforward";
  ConvolutionChoice choice(file, "machine");
  EXPECT_EQ(choose(choice, "forward: 3x3", {2, 1}), kWinograd);
  EXPECT_THAT(asked, ElementsAre(0, 1));
  // The line that was cut off before takes nothing of what is written behind it.
  EXPECT_EQ(ConvolutionChoice(file, "machine").remembered("forward: 3x3", names), kWinograd);
}

TEST_F(ConvolutionChoiceTest, InTurnTakesWhatAnotherHasChosenSince) {
  ConvolutionChoice first(file, "machine", ConvolutionChoice::Timing::in_turn);
  ConvolutionChoice second(file, "machine", ConvolutionChoice::Timing::in_turn);
  EXPECT_EQ(second.remembered("forward: 3x3", names), std::nullopt);
  EXPECT_EQ(choose(first, "forward: 3x3", {2, 1}), kWinograd);
  EXPECT_EQ(choose(second, "forward: 3x3", {1, 2}), kWinograd);
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_EQ(second.remembered("forward: 3x3", names), kWinograd);
  const std::vector<std::string> others = {kDirect, kMirrored};
  EXPECT_EQ(second.remembered("forward: 3x3", others), std::nullopt);
}

TEST_F(ConvolutionChoiceTest, WorksWithoutAFile) {
  ConvolutionChoice choice({}, "machine");
  EXPECT_EQ(choose(choice, "forward: 3x3", {1, 2}), kDirect);
}

}  // namespace
}  // namespace paceline::test
