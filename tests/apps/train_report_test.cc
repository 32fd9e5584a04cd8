#include "paceline/apps/train_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace paceline {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TrainReport, SaysWhenThreadsOutnumberCores) {
  const Data data = open_data("synthetic:train=16,test=16").value();
  const Network network = Network::named("lenet", data.train->image, 10).value();
  TrainOptions options;
  const unsigned cores = std::thread::hardware_concurrency();
  const auto banner = [&](std::uint32_t workers, unsigned threads) {
    options.run.workers = workers;
    options.run.threads = threads;
    return train_banner(options, network, data, "a device");
  };
  EXPECT_THAT(banner(cores, 1), Not(HasSubstr("notice")));
  EXPECT_THAT(banner(1, cores), Not(HasSubstr("notice")));
  EXPECT_THAT(banner(cores + 1, 1), HasSubstr("1 thread on"));
  EXPECT_THAT(banner(cores, 2), HasSubstr("2 threads on"));
}

}  // namespace
}  // namespace paceline
