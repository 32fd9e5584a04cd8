#include "paceline/actors/metrics_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include "temporary_folder.h"

namespace paceline {
namespace {

class MetricsFileTest : public testing::Test {
 protected:
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "metrics.jsonl";
};

TEST_F(MetricsFileTest, HasEveryLineOnceItIsFlushed) {
  auto file = MetricsFile::create(path).value();
  ASSERT_TRUE(file.append("{\"a\":1}"));
  ASSERT_TRUE(file.append("{\"a\":2}"));
  ASSERT_TRUE(file.flush());
  EXPECT_EQ(content(path), "{\"a\":1}\n{\"a\":2}\n");
}

TEST_F(MetricsFileTest, IsNeverWrittenOver) {
  { auto file = MetricsFile::create(path).value(); }
  EXPECT_FALSE(MetricsFile::create(path));
}

TEST_F(MetricsFileTest, KeepsWholeLinesOnlyWhenThereIsNoRoomForMore) {
  auto file = MetricsFile::create(path).value();
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{1000, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const std::string line(99, 'x');
  Result<> written = success();
  for (int i = 0; i < 11 && written; ++i) written = file.append(line);
  if (written) written = file.flush();
  ::setrlimit(RLIMIT_FSIZE, &old);
  ::signal(SIGXFSZ, before);
  ASSERT_FALSE(written) << "1100 bytes do not fit into 1000";
  EXPECT_NE(written.error().message.find(path.string()), std::string::npos);
  const std::string text = content(path);
  EXPECT_EQ(text.size() % 100, 0u);
  EXPECT_TRUE(text.empty() || text.back() == '\n');
  EXPECT_FALSE(file.append("more")) << "the error stays";
}

TEST_F(MetricsFileTest, GoesOnBehindTheLastWholeLine) {
  const std::string torn = std::string(10'000, 'x');  // longer than is read at once
  for (const std::string& lines : {std::string("{\"a\":1}\n{\"a\":2}\n"), std::string()}) {
    for (const std::string& rest : {std::string(), std::string("{\"a\""), torn}) {
      std::ofstream(path, std::ios::binary | std::ios::trunc) << lines << rest;
      auto file = MetricsFile::extend(path).value();
      ASSERT_TRUE(file.append("{\"a\":3}"));
      ASSERT_TRUE(file.flush());
      EXPECT_EQ(content(path), lines + "{\"a\":3}\n");
    }
  }
}

TEST_F(MetricsFileTest, IsExtendedByOneAtATime) {
  {
    auto file = MetricsFile::create(path).value();
    EXPECT_FALSE(MetricsFile::extend(path));
  }
  EXPECT_TRUE(MetricsFile::extend(path));
}

}  // namespace
}  // namespace paceline
