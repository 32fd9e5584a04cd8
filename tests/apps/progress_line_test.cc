#include "paceline/apps/progress_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace paceline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Progress half_done() {
  Progress progress;
  progress.train_seconds = 30;
  progress.seconds_left = 30;
  progress.images_per_second = 1234;
  progress.leader = 3;
  progress.loss = 0.5;
  progress.test_error = 0.0831;
  return progress;
}

TEST(ProgressLine, SaysRateLeaderErrorAndTimeLeft) {
  const std::string text = progress_text(half_done(), 120);
  for (const char* part : {"[==========          ]", "50 %", "0:30 left", "1234 images/s",
                           "worker 3 leads", "loss 0.500", "test error 8.31 %"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(ProgressLine, StepsDecideTheShareWhereTheyAreCounted) {
  Progress progress = half_done();
  progress.steps = 25;
  progress.steps_planned = 100;
  EXPECT_THAT(progress_text(progress, 120), HasSubstr("25 %"));
}

TEST(ProgressLine, FitsEveryWidth) {
  for (std::size_t width = 0; width < 130; ++width) {
    EXPECT_LE(progress_text(half_done(), width).size(), width);
  }
}

TEST(ProgressLine, ShowsOnlyWhatIsKnown) {
  const std::string text = progress_text(Progress{}, 120);
  EXPECT_THAT(text, Not(HasSubstr("leads")));
  EXPECT_THAT(text, Not(HasSubstr("test error")));
}

TEST(ProgressLine, SurvivesNumbersThatAreNotFinite) {
  Progress progress;
  progress.train_seconds = std::numeric_limits<double>::quiet_NaN();
  progress.seconds_left = std::numeric_limits<double>::infinity();
  EXPECT_THAT(progress_text(progress, 120), HasSubstr("0 %"));
}

}  // namespace
}  // namespace paceline
