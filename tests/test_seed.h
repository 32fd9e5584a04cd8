// The seed of a test that explores: a new one each time, or what PACELINE_TEST_SEED says. The command that
// repeats the test is printed at once, for those that hang or abort, and again when it has failed.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>
#include <string>

namespace paceline {

inline std::optional<std::uint64_t> given_test_seed() {
  const char* given = std::getenv("PACELINE_TEST_SEED");
  if (given == nullptr) return {};
  return std::strtoull(given, nullptr, 0);
}

/// Says how a failed test is repeated.
class RepeatCommand final : public testing::EmptyTestEventListener {
 public:
  /// Of the test that runs now; outside of tests nothing.
  static void keep(std::uint64_t seed) {
    static RepeatCommand* const teller = [] {
      auto* made = new RepeatCommand;  // gtest deletes it
      testing::UnitTest::GetInstance()->listeners().Append(made);
      return made;
    }();
    const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
    if (test == nullptr) return;
    std::error_code ignored;
    const std::string command = "PACELINE_TEST_SEED=" + std::to_string(seed) + " " +
                                std::filesystem::read_symlink("/proc/self/exe", ignored).string() +
                                " --gtest_filter='" + test->test_suite_name() + "." + test->name() +
                                "'";
    if (command == teller->command_) return;
    teller->command_ = command;
    teller->say();
  }
  void OnTestStart(const testing::TestInfo&) override { command_.clear(); }
  void OnTestEnd(const testing::TestInfo& test) override {
    if (!command_.empty() && test.result()->Failed()) say();
  }

 private:
  void say() const {
    std::printf("to repeat: %s\n", command_.c_str());
    std::fflush(stdout);
  }

  std::string command_;  // empty: the test that runs has asked for no seed
};

inline std::uint64_t test_seed() {
  const std::uint64_t seed = given_test_seed().value_or(std::random_device{}());
  RepeatCommand::keep(seed);
  return seed;
}

}  // namespace paceline
