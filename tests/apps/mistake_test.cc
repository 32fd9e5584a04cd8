// Bad input: exit code 2 and one clear line on standard error, whatever it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "apps/data_files.h"
#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Words = std::vector<std::string>;

class Mistake : public ::testing::Test {
 protected:
  /// Trains on little, in a new folder, unless `words` say otherwise.
  std::string train(Words words, const Words& environment = {}) {
    words.insert(words.begin(), "train");
    const auto has = [&](const char* name) {
      return std::ranges::find(words, name) != words.end();
    };
    if (!has("--data")) words.insert(words.end(), {"--data", "synthetic:train=64,test=64"});
    if (!has("--run")) words.insert(words.end(), {"--run", folder_ / "run"});
    return mistake(words, environment);
  }

  /// Runs the program and expects a mistake. @return its line
  std::string mistake(const Words& words, const Words& environment = {}) {
    const Outcome outcome = run_paceline(words, environment);
    EXPECT_FALSE(outcome.overdue);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
    EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
    EXPECT_TRUE(outcome.errors.ends_with('\n'));
    EXPECT_TRUE(outcome.errors.starts_with("paceline")) << outcome.errors;
    EXPECT_THAT(outcome.output, IsEmpty());
    EXPECT_FALSE(fs::exists(folder_ / "run")) << "a mistake left a folder behind";
    return outcome.errors;
  }

  TemporaryFolder folder_;
};

TEST_F(Mistake, MissingData) {
  EXPECT_THAT(train({"--data", folder_ / "nothing"}), HasSubstr("nothing"));
  EXPECT_THAT(train({"--data", folder_.path()}), HasSubstr(folder_.path().string()));
}

TEST_F(Mistake, TruncatedCifar) {
  write_cifar_folder(folder_.path());
  fs::resize_file(folder_ / "data_batch_3.bin", 1'000'000);
  EXPECT_THAT(train({"--data", folder_.path()}), HasSubstr("data_batch_3.bin"));
}

TEST_F(Mistake, CifarLabelOutOfRange) {
  write_cifar_folder(folder_.path());
  overwrite(folder_ / "data_batch_2.bin", 3073 * 7, "\x0a");
  EXPECT_THAT(train({"--data", folder_.path()}),
              AllOf(HasSubstr("data_batch_2.bin"), HasSubstr("10")));
}

TEST_F(Mistake, WrongIdxMagic) {
  write_idx_folder(folder_.path());
  overwrite(folder_ / "train-images-idx3-ubyte", 2, "\x0d");
  EXPECT_THAT(train({"--data", folder_.path(), "--network", "lenet"}),
              AllOf(HasSubstr("train-images-idx3-ubyte"), HasSubstr("magic")));
}

TEST_F(Mistake, TruncatedIdx) {
  write_idx_folder(folder_.path());
  fs::resize_file(folder_ / "t10k-images-idx3-ubyte", 1000);
  EXPECT_THAT(train({"--data", folder_.path(), "--network", "lenet"}),
              HasSubstr("t10k-images-idx3-ubyte"));
}

TEST_F(Mistake, IdxLabelOutOfRange) {
  write_idx_folder(folder_.path());
  overwrite(folder_ / "train-labels-idx1-ubyte", 12, "\xc8");
  EXPECT_THAT(train({"--data", "mnist:" + folder_.path().string(), "--network", "lenet"}),
              AllOf(HasSubstr("train-labels-idx1-ubyte"), HasSubstr("200")));
}

TEST_F(Mistake, WrongSyntheticSpecification) {
  EXPECT_THAT(train({"--data", "synthetic:train=-1"}), HasSubstr("train"));
  EXPECT_THAT(train({"--data", "synthetic:tran=10"}), HasSubstr("tran"));
}

TEST_F(Mistake, PeriodsAndWorkersThatDoNotFit) {
  EXPECT_THAT(train({"--tau", "8", "--tau-global", "4"}), HasSubstr("--tau-global 4"));
  EXPECT_THAT(train({"--workers", "0"}), HasSubstr("--workers 0"));
  EXPECT_THAT(train({"--workers", "3", "--groups", "2"}), HasSubstr("--groups 2"));
  EXPECT_THAT(train({"--workers", "-2"}), HasSubstr("-2"));
}

TEST_F(Mistake, ContradictingOptions) {
  EXPECT_THAT(train({"--deterministic", "--steps", "1"}), HasSubstr("--mode barrier"));
  EXPECT_THAT(train({"--steps", "1", "--epochs", "1"}), HasSubstr("--epochs"));
}

TEST_F(Mistake, SchedulesAndOptimisersThatMakeNoSense) {
  EXPECT_THAT(train({"--lr-schedule", "steps", "--lr-milestones", "0.75,0.5"}),
              HasSubstr("--lr-milestones 0.5"));
  EXPECT_THAT(train({"--lr-schedule", "steps", "--lr-milestones", "80;120"}),
              HasSubstr("--lr-milestones"));
  EXPECT_THAT(train({"--lr-factor", "0.5"}), HasSubstr("--lr-schedule constant"));
  EXPECT_THAT(train({"--lr-warm-up", "5"}), HasSubstr("--lr-warm-up 5"));
  EXPECT_THAT(train({"--lr-schedule", "linear"}), HasSubstr("'linear'"));
  EXPECT_THAT(train({"--clip-norm", "-1"}), HasSubstr("--clip-norm"));
  EXPECT_THAT(train({"--label-smoothing", "1"}), HasSubstr("--label-smoothing 1"));
  EXPECT_THAT(train({"--weight-decay-of", "biases"}), HasSubstr("--weight-decay-of"));
  EXPECT_THAT(train({"--protocol", "diana", "--momentum-form", "sutskever", "--tau", "4"}),
              HasSubstr("--momentum-form sutskever"));
}

TEST_F(Mistake, UnknownOptionVariableAndCommand) {
  EXPECT_THAT(train({"--taus", "3"}), HasSubstr("'--tau'"));
  EXPECT_THAT(train(Words{}, {"PACELINE_WORKER=2"}), HasSubstr("'PACELINE_WORKERS'"));
  EXPECT_THAT(mistake({"trian"}), HasSubstr("'train'"));
  EXPECT_THAT(mistake({}), HasSubstr("paceline help"));
  EXPECT_THAT(mistake({"bench", "slots"}), HasSubstr("'slot'"));
  EXPECT_THAT(mistake({"doctor", "--jsn"}), HasSubstr("'--json'"));
}

TEST_F(Mistake, UnknownDevice) { EXPECT_THAT(train({"--device", "abacus"}), HasSubstr("abacus")); }

TEST_F(Mistake, PrecisionsThatADeviceDoesNotHave) {
  EXPECT_THAT(train({"--precision", "bf17"}), AllOf(HasSubstr("--precision"), HasSubstr("bf16")));
  for (const char* device : {"cpu", "reference"}) {
    const auto says = AllOf(HasSubstr("--precision bf16"), HasSubstr(device),
                            HasSubstr("in f32 alone"), HasSubstr("--device cuda"));
    EXPECT_THAT(train({"--device", device, "--precision", "bf16"}), says);
    EXPECT_THAT(mistake({"bench", "step", "--device", device, "--precision", "bf16"}), says);
  }
}

TEST_F(Mistake, LineBreaksInNamesStayOnOneLine) {
  EXPECT_THAT(train({"--data", "a\nb\x1b[31m"}), HasSubstr("a?b"));
  EXPECT_THAT(mistake({"no\nsuch"}), HasSubstr("no?such"));
}

TEST_F(Mistake, GarbageConfiguration) {
  std::ofstream(folder_ / "garbage.ini") << "\x01\x02 no equals sign\n";
  EXPECT_THAT(train({"--config", folder_ / "garbage.ini"}), HasSubstr("garbage.ini"));
  EXPECT_THAT(train({"--config", folder_ / "missing.ini"}), HasSubstr("missing.ini"));
}

TEST_F(Mistake, RunDirectoryThatCannotBeWritten) {
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THAT(train({"--run", folder_ / "file/run"}), HasSubstr("--run"));
  EXPECT_THAT(train({"--run", "/proc/paceline-run"}), HasSubstr("--run"));
}

TEST_F(Mistake, RunDirectoryThatHoldsARun) {
  const fs::path old = folder_.path() / "old";
  fs::create_directory(old);
  std::ofstream(old / "summary.json") << "{}";
  EXPECT_THAT(train({"--run", old.string()}), HasSubstr("holds a run already"));
  EXPECT_EQ(listing(old), Words{"summary.json"});
}

TEST_F(Mistake, FilesThatEvalCannotRead) {
  EXPECT_THAT(mistake({"eval"}), HasSubstr("no file"));
  EXPECT_THAT(mistake({"eval", folder_ / "missing"}), HasSubstr("missing"));
  std::ofstream(folder_ / "garbage") << "this is no safetensors file";
  EXPECT_THAT(mistake({"eval", folder_ / "garbage"}), HasSubstr("garbage"));
  std::ofstream(folder_ / "empty").flush();
  EXPECT_THAT(mistake({"eval", folder_ / "empty"}), HasSubstr("empty"));
  EXPECT_THAT(mistake({"eval", folder_.path()}), HasSubstr(folder_.path().string()));
  EXPECT_THAT(mistake({"eval", "a", "b"}), HasSubstr("'b'"));
}

}  // namespace
}  // namespace paceline
