// Training and testing on a folder of image files, as a user does it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/running_command.h"
#include "layers/input/image_encoder.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::string>;

Words train(const TemporaryFolder& folder, const std::string& run, const Words& more = {}) {
  Words words{"train",   "--data", folder / "set", "--network", "lenet", "--batch", "8",
              "--steps", "6",      "--run",        folder / run};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(ImageRun, TrainsTestsAndSaysWhatWasSkipped) {
  const TemporaryFolder folder;
  write_image_folder(folder / "set", 2, 10, 4);
  write_file(folder / "set/train/1/004.jpg", {'x'});
  write_file(folder / "set/train/notes.txt", {'x'});
  const Outcome outcome =
      run_paceline(train(folder, "run", {"--decode-threads", "2", "--device", "reference"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("20 images to learn from, 8 to test on"),
                    HasSubstr("1 other file ignored"), HasSubstr("3x28x28 images, 2 classes"),
                    HasSubstr("decoding    "), HasSubstr("train/1/004.jpg (neither JPEG nor PNG")));
  EXPECT_THAT(content(folder / "run/skipped.txt"), HasSubstr("train/1/004.jpg\tneither JPEG"));
  const json summary = json::parse(content(folder / "run/summary.json"));
  EXPECT_GT(summary.at("decode_cpu_seconds"), 0.0);
  EXPECT_GE(summary.at("data_wait_seconds"), 0.0);
  EXPECT_EQ(summary.at("skipped_files"), 1);

  const Outcome eval =
      run_paceline({"eval", folder / "run/leader.safetensors", "--device", "reference", "--json"});
  ASSERT_EQ(eval.exit_code, 0) << eval.errors;
  EXPECT_EQ(json::parse(eval.output).at("images"), 8);
  EXPECT_DOUBLE_EQ(json::parse(eval.output).at("test_error"), summary.at("test_error_leader"));
}

TEST(ImageRun, GivesTheSameBitsWithAnyNumberOfThreads) {
  const TemporaryFolder folder;
  write_image_folder(folder / "set", 2, 10, 4);
  for (const char* threads : {"1", "3"}) {
    const Outcome outcome =
        run_paceline(train(folder, threads,
                           {"--mode", "barrier", "--deterministic", "--decode-threads", threads,
                            "--image-size", "28"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
    EXPECT_THAT(outcome.output, HasSubstr("3x28x28 images"));
    EXPECT_THAT(listing(folder / threads), Not(::testing::Contains("skipped.txt")));
  }
  EXPECT_EQ(content(folder / "1/leader.safetensors"), content(folder / "3/leader.safetensors"));
}

TEST(ImageRun, AFolderThatGoesAwayEndsTheRunWithOneError) {
  const TemporaryFolder folder;
  write_image_folder(folder / "set", 2, 10, 4);
  Words words = train(folder, "run");
  *std::ranges::find(words, "--steps") = "--minutes";
  RunningCommand child(paceline_words(words));
  ASSERT_TRUE(child.wait_for_text("images/s", std::chrono::seconds(600)));
  std::filesystem::remove_all(folder / "set");
  const Outcome outcome = child.wait(std::chrono::seconds(600));
  EXPECT_FALSE(outcome.overdue);
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.errors, HasSubstr("images cannot be read"));
}

TEST(ImageRun, AFolderThatGoesAwayLeavesTheCentreInACheckpoint) {
  const TemporaryFolder folder;
  write_image_folder(folder / "set", 2, 10, 4);
  const std::string text = "image 3x28x28\nconv 4 3x3\nbn\nrelu\nlinear classes\n";
  write_file(folder / "small.net", {text.begin(), text.end()});
  Words words = train(folder, "run", {"--protocol", "easgd"});
  *std::ranges::find(words, "--steps") = "--minutes";
  *std::ranges::find(words, "lenet") = folder / "small.net";
  RunningCommand child(paceline_words(words));
  ASSERT_TRUE(child.wait_for_text("images/s", std::chrono::seconds(600)));
  std::filesystem::remove_all(folder / "set");
  const Outcome outcome = child.wait(std::chrono::seconds(600));
  EXPECT_NE(outcome.exit_code, 0);
  // Its running statistics cannot be estimated any more: they are the initial ones.
  EXPECT_THAT(listing(folder / "run"), ::testing::Contains("leader.safetensors"));
}

TEST(ImageRun, MistakesAreOneLine) {
  const TemporaryFolder folder;
  write_image_folder(folder / "set", 2, 3, 2);
  const std::string set = folder / "set";
  const std::pair<Words, std::string> cases[] = {
      {{"--decode-threads", "0"}, "--decode-threads 0 is not from 1"},
      {{"--image-size", "0"}, "'0' is not above 0"},
      {{"--network", "lenet", "--image-size", "9999"}, "--image-size 9999 is not from 1 to 4096"},
      {{"--network", "cnn7", "--image-size", "40"},
       "--image-size 40 means nothing to cnn7, which reads 28x28: leave it out"},
  };
  for (const auto& [more, wanted] : cases) {
    Words words{"train", "--data", set, "--steps", "1", "--run", folder / "run"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = run_paceline(words);
    EXPECT_EQ(outcome.exit_code, 2) << wanted;
    EXPECT_THAT(outcome.errors, HasSubstr(wanted));
    EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
    EXPECT_THAT(outcome.output, IsEmpty());
  }
  const Outcome memory =
      run_paceline({"train", "--network", "lenet", "--image-size", "64", "--run", folder / "run"});
  EXPECT_EQ(memory.exit_code, 2);
  EXPECT_THAT(memory.errors, HasSubstr("--image-size resizes image files alone"));
  const Outcome threads = run_paceline({"train", "--decode-threads", "2", "--run", folder / "run"});
  EXPECT_EQ(threads.exit_code, 2);
  EXPECT_THAT(threads.errors, HasSubstr("--decode-threads 2 decode image files alone"));
}

TEST(ImageRun, BenchDataCountsImages) {
  const TemporaryFolder folder;
  write_image_folder(folder / "set", 2, 3, 2);
  const Outcome outcome =
      run_paceline({"bench", "data", "--data", folder / "set", "--image-size", "32", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.errors;
  const json figures = json::parse(outcome.output);
  EXPECT_GT(figures.at("images_per_second"), 0.0);
  EXPECT_GT(figures.at("decode_cpu_seconds_per_image"), 0.0);
  EXPECT_EQ(run_paceline({"bench", "data"}).exit_code, 2);
}

}  // namespace
}  // namespace paceline
