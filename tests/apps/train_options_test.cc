#include "paceline/apps/train_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "temporary_folder.h"

namespace paceline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

/// An INI file that is gone with its test.
class IniFile {
 public:
  explicit IniFile(const std::string& text) { std::ofstream(path()) << text; }
  std::string path() const { return folder_ / "run.ini"; }

 private:
  const TemporaryFolder folder_;
};

TrainOptions parsed(const Words& arguments, const Words& environment = {}) {
  auto options = parse_train_options(arguments, environment);
  EXPECT_TRUE(options) << options.error().message;
  return options ? options.value() : TrainOptions{};
}

std::string refused(const Words& arguments, const Words& environment = {}) {
  const auto options = parse_train_options(arguments, environment);
  return options ? std::string("was accepted") : options.error().message;
}

TEST(TrainOptions, DefaultsAreThoseOfTheDocumentation) {
  const TrainOptions options = parsed({});
  EXPECT_EQ(options.run.protocol, "lsgd");
  EXPECT_EQ(options.run.mode, Mode::nonblocking);
  EXPECT_EQ(options.run.tau, 4U);
  EXPECT_EQ(options.run.tau_global, 16U);
  EXPECT_EQ(options.run.pull, 0.1);
  EXPECT_EQ(options.run.score_window, 10U);
  EXPECT_EQ(options.run.sgd.momentum, 0.9);
  EXPECT_EQ(options.run.sgd.form, Momentum::nesterov);
  EXPECT_EQ(options.run.sgd.weight_decay, 1e-4);
  EXPECT_EQ(options.run.batch, 128U);
  EXPECT_EQ(options.run.evaluate, Evaluate::beside);
  EXPECT_EQ(options.run.minutes, 1);
  EXPECT_EQ(options.run.decode_threads, 1U);
  EXPECT_EQ(options.run.restarts, 3U);
  EXPECT_EQ(options.run.patience, 0) << "auto";
  EXPECT_EQ(options.image_size, 0U);
  EXPECT_EQ(options.run.sgd.learning_rate, named_network("cnn7").value().learning_rate);
  EXPECT_EQ(parsed({"--network", "lenet"}).run.sgd.learning_rate,
            named_network("lenet").value().learning_rate);
}

TEST(TrainOptions, TheCommandLineGoesBeforeTheEnvironmentBeforeTheFileBeforeDefaults) {
  const IniFile file("tau-global = 64\nbatch = 64\nseed = 64\n");
  const Words environment{"PACELINE_TAU_GLOBAL=32", "PACELINE_BATCH=32"};
  const TrainOptions options = parsed({"--config", file.path(), "--tau-global", "16"}, environment);
  EXPECT_EQ(options.run.tau_global, 16U);
  EXPECT_EQ(options.run.batch, 32U);
  EXPECT_EQ(options.run.seed, 64U);
  EXPECT_EQ(options.run.workers, 2U);
}

TEST(TrainOptions, TheEnvironmentMayNameTheFile) {
  const IniFile file("seed = 64\n");
  EXPECT_EQ(parsed({}, {"PACELINE_CONFIG=" + file.path()}).run.seed, 64U);
}

TEST(TrainOptions, ABudgetFromAPlaceThatGoesFirstReplacesAnother) {
  const IniFile file("minutes = 3\n");
  const TrainOptions options = parsed({"--config", file.path(), "--steps", "7"});
  EXPECT_EQ(options.run.steps, 7U);
  EXPECT_EQ(options.run.minutes, 0);
  EXPECT_EQ(parsed({"--config", file.path()}).run.minutes, 3);
}

TEST(TrainOptions, AugmentationIsTurnedOffInTwoSpellings) {
  EXPECT_TRUE(parsed({}).run.augment);
  EXPECT_FALSE(parsed({"--no-augment"}).run.augment);
  EXPECT_FALSE(parsed({"--augment", "off"}).run.augment);
  EXPECT_FALSE(parsed({"--no-augment"}, {"PACELINE_AUGMENT=on"}).run.augment);
}

TEST(TrainOptions, APrintedConfigurationGivesTheSameRun) {
  const std::vector<Words> runs{
      {},
      {"--data",
       "mnist:/some where/else",
       "--network",
       "lenet",
       "--groups",
       "3",
       "--workers",
       "6",
       "--batch",
       "17",
       "--lr",
       "0.3333333333333333",
       "--momentum",
       "0.123456789",
       "--momentum-form",
       "heavy-ball",
       "--weight-decay",
       "0",
       "--clip-norm",
       "2.5",
       "--label-smoothing",
       "0.1",
       "--lr-schedule",
       "steps",
       "--lr-milestones",
       "0.25,0.333,0.9",
       "--lr-factor",
       "0.2",
       "--lr-warm-up",
       "0.05",
       "--tau",
       "5",
       "--tau-global",
       "35",
       "--pull",
       "1e-3",
       "--pull-global",
       "0.7",
       "--score-window",
       "3",
       "--staleness",
       "0",
       "--epochs",
       "1.5",
       "--target-error",
       "0.11",
       "--seed",
       "18446744073709551615",
       "--evaluate-every",
       "0.5",
       "--sampling",
       "sharded",
       "--no-augment",
       "--threads",
       "2",
       "--patience",
       "7",
       "--restarts",
       "0"},
      {"--mode", "barrier", "--deterministic", "--steps", "30", "--evaluate", "after"},
      {"--patience", "auto", "--restarts", "12"},
      {"--device", "cuda", "--precision", "bf16"},
      {"--momentum-form", "none", "--weight-decay-of", "weights", "--lr-schedule", "cosine"},
  };
  for (const Words& words : runs) {
    const TrainOptions first = parsed(words);
    const IniFile file(config_text(first));
    const TrainOptions second = parsed({"--config", file.path()});
    EXPECT_EQ(config_text(second), config_text(first));
    const RunOptions &a = first.run, &b = second.run;
    EXPECT_EQ(second.data, first.data);
    EXPECT_EQ(second.network, first.network);
    EXPECT_EQ(a.mode, b.mode);
    EXPECT_EQ(a.sgd.learning_rate, b.sgd.learning_rate);
    EXPECT_EQ(a.sgd.momentum, b.sgd.momentum);
    EXPECT_EQ(a.sgd.form, b.sgd.form);
    EXPECT_EQ(a.decay_all, b.decay_all);
    EXPECT_EQ(a.clip_norm, b.clip_norm);
    EXPECT_EQ(first.label_smoothing, second.label_smoothing);
    EXPECT_EQ(a.schedule.annealing, b.schedule.annealing);
    EXPECT_EQ(a.schedule.warm_up, b.schedule.warm_up);
    EXPECT_EQ(a.schedule.milestones, b.schedule.milestones);
    EXPECT_EQ(a.schedule.factor, b.schedule.factor);
    EXPECT_EQ(a.seed, b.seed);
    EXPECT_EQ(a.deterministic, b.deterministic);
    EXPECT_EQ(a.steps, b.steps);
    EXPECT_EQ(a.epochs, b.epochs);
    EXPECT_EQ(a.minutes, b.minutes);
    EXPECT_EQ(a.target_error, b.target_error);
    EXPECT_EQ(a.augment, b.augment);
    EXPECT_EQ(a.sampling, b.sampling);
    EXPECT_EQ(a.evaluate, b.evaluate);
    EXPECT_EQ(a.patience, b.patience);
    EXPECT_EQ(a.restarts, b.restarts);
  }
}

TEST(TrainOptions, ContradictionsNameBothSidesAndTheRemedy) {
  EXPECT_THAT(refused({"--steps", "3", "--minutes", "1"}),
              AllOf(HasSubstr("--steps"), HasSubstr("--minutes"), HasSubstr("one of them")));
  EXPECT_THAT(
      refused({"--deterministic", "--steps", "3"}),
      AllOf(HasSubstr("--deterministic"), HasSubstr("nonblocking"), HasSubstr("--mode barrier")));
  EXPECT_THAT(refused({"--deterministic", "--mode", "barrier"}),
              AllOf(HasSubstr("--deterministic"), HasSubstr("--minutes"), HasSubstr("--steps")));
  EXPECT_THAT(refused({"--tau", "8", "--tau-global", "4"}),
              AllOf(HasSubstr("--tau-global 4"), HasSubstr("--tau 8")));
  EXPECT_THAT(refused({"--tau", "5"}), AllOf(HasSubstr("--tau-global 16"), HasSubstr("--tau 5")));
  EXPECT_THAT(refused({"--workers", "5", "--groups", "2"}),
              AllOf(HasSubstr("--workers 5"), HasSubstr("--groups 2"), HasSubstr("4 or 6")));
  EXPECT_THAT(refused({"--momentum", "0.5", "--momentum-form", "none"}),
              AllOf(HasSubstr("--momentum 0.5"), HasSubstr("--momentum-form none")));
  EXPECT_THAT(refused({"--weight-decay", "0", "--weight-decay-of", "weights"}),
              AllOf(HasSubstr("--weight-decay-of weights"), HasSubstr("--weight-decay 0")));
  EXPECT_THAT(refused({"--protocol", "diana", "--momentum-form", "sutskever"}),
              AllOf(HasSubstr("--momentum-form sutskever"), HasSubstr("--protocol diana"),
                    HasSubstr("heavy-ball")));
  EXPECT_THAT(refused({"--no-augment", "--augment", "on"}),
              AllOf(HasSubstr("--no-augment"), HasSubstr("--augment")));
  EXPECT_THAT(refused({"--target-error", "0.1", "--evaluate", "after"}),
              AllOf(HasSubstr("--target-error"), HasSubstr("--evaluate beside")));
}

TEST(TrainOptions, SchedulesAreOneFamilyOfOptions) {
  const Schedule usual = parsed({}).run.schedule;
  EXPECT_EQ(usual.annealing, Annealing::constant);
  EXPECT_EQ(usual.warm_up, 0);
  const Schedule steps =
      parsed({"--lr-schedule", "steps", "--lr-milestones", "0.25,0.5,0.9", "--lr-factor", "0.5"})
          .run.schedule;
  EXPECT_EQ(steps.annealing, Annealing::steps);
  EXPECT_EQ(steps.milestones, (std::vector<double>{0.25, 0.5, 0.9}));
  EXPECT_EQ(steps.factor, 0.5);
  EXPECT_EQ(parsed({"--lr-schedule", "steps"}).run.schedule.milestones,
            (std::vector<double>{0.5, 0.75}));
  EXPECT_EQ(parsed({"--lr-schedule", "cosine", "--lr-warm-up", "0.1"}).run.schedule.warm_up, 0.1);
}

TEST(TrainOptions, ASchedulesMistakesAreRefused) {
  const auto refused_steps = [](const std::string& milestones, const std::string& warm_up = "0") {
    return refused(
        {"--lr-schedule", "steps", "--lr-milestones", milestones, "--lr-warm-up", warm_up});
  };
  EXPECT_THAT(refused_steps("0.5,0.25"), HasSubstr("0.25 does not come after 0.5"));
  EXPECT_THAT(refused_steps("0.5,0.5"), HasSubstr("0.5 does not come after 0.5"));
  EXPECT_THAT(refused_steps("80,120"), HasSubstr("80 is not in (0, 1): 0.5 means half"));
  EXPECT_THAT(refused_steps("0.1,0.5", "0.2"), HasSubstr("before --lr-warm-up 0.2 is over"));
  for (const char* text : {"", "0.5,", ",0.5", "0.5;0.75", "half"})
    EXPECT_THAT(refused_steps(text), HasSubstr("--lr-milestones: '")) << text;
  EXPECT_THAT(refused({"--lr-milestones", "0.4"}), HasSubstr("nothing to --lr-schedule constant"));
  EXPECT_THAT(refused({"--lr-factor", "0.4", "--lr-schedule", "cosine"}),
              HasSubstr("nothing to --lr-schedule cosine"));
  EXPECT_THAT(refused({"--lr-schedule", "steps", "--lr-factor", "0"}), HasSubstr("--lr-factor 0"));
  EXPECT_THAT(refused({"--lr-schedule", "step"}), HasSubstr("'steps'"));
}

TEST(TrainOptions, NumbersOutOfRangeAreRefused) {
  const std::vector<Words> all{{"--workers", "0"},
                               {"--workers", "-1"},
                               {"--workers", "4294967296"},
                               {"--groups", "0"},
                               {"--batch", "0"},
                               {"--batch", "-128"},
                               {"--tau", "0"},
                               {"--steps", "0"},
                               {"--minutes", "0"},
                               {"--minutes", "inf"},
                               {"--epochs", "-1"},
                               {"--lr", "nan"},
                               {"--lr", "0"},
                               {"--lr", "-0.1"},
                               {"--momentum", "1"},
                               {"--momentum", "-0.1"},
                               {"--weight-decay", "-1"},
                               {"--pull", "1.1"},
                               {"--pull-global", "-1"},
                               {"--score-window", "0"},
                               {"--target-error", "0"},
                               {"--target-error", "1"},
                               {"--target-error", "11"},
                               {"--evaluate-every", "0"},
                               {"--patience", "0"},
                               {"--patience", "-3"},
                               {"--patience", "automatic"},
                               {"--restarts", "-1"},
                               {"--threads", "0"},
                               {"--seed", "-1"},
                               {"--lr-warm-up", "1"},
                               {"--lr-warm-up", "-0.1"},
                               {"--clip-norm", "0"},
                               {"--clip-norm", "-1"},
                               {"--clip-norm", "inf"},
                               {"--label-smoothing", "1"},
                               {"--label-smoothing", "-0.1"},
                               {"--staleness", "-1"},
                               {"--seed", "1.5"},
                               {"--minutes", "1e300"}};
  for (const Words& words : all) {
    EXPECT_THAT(refused(words),
                AllOf(HasSubstr(words[0]), HasSubstr(words[1] == "1e300" ? "1e" : words[1])))
        << words[0] << " " << words[1];
  }
}

TEST(TrainOptions, UnknownNamesAreRefusedNamingTheNearest) {
  EXPECT_THAT(refused({"--wrokers", "2"}), HasSubstr("'--workers'"));
  EXPECT_THAT(refused({"--mode", "nonbloking"}), HasSubstr("'nonblocking'"));
  EXPECT_THAT(refused({"--network", "cnn8"}), HasSubstr("'cnn7'"));
  EXPECT_THAT(refused({"--protocol", "lsdg"}), HasSubstr("lsgd"));
  EXPECT_THAT(refused({}, {"PACELINE_TAU_GLOBL=4"}), HasSubstr("'PACELINE_TAU_GLOBAL'"));
  const IniFile file("tau-globl = 4\n");
  EXPECT_THAT(refused({"--config", file.path()}), HasSubstr("'tau-global'"));
}

TEST(TrainOptions, AMistakeSaysWhereItStands) {
  EXPECT_THAT(refused({}, {"PACELINE_WORKERS=-1"}), HasSubstr("PACELINE_WORKERS: '-1'"));
  const IniFile file("workers = many\n");
  EXPECT_THAT(refused({"--config", file.path()}), HasSubstr(file.path() + ": workers: 'many'"));
}

TEST(TrainOptions, AFileThatIsNoIniFileIsRefused) {
  const IniFile garbage(
      "\x7f"
      "ELF\x01\x02 garbage\n");
  EXPECT_THAT(refused({"--config", garbage.path()}), HasSubstr("is no 'name = value' line"));
  const IniFile twice("tau = 4\ntau = 8\n");
  EXPECT_THAT(refused({"--config", twice.path()}), HasSubstr("twice"));
  EXPECT_THAT(refused({"--config", "/no/such/file"}), HasSubstr("/no/such/file"));
  EXPECT_THAT(refused({"--config", "/"}), HasSubstr("cannot be read"));
  const IniFile nested("config = other.ini\n");
  EXPECT_THAT(refused({"--config", nested.path()}), HasSubstr("config"));
}

TEST(TrainOptions, WhatAFileCannotHoldIsRefused) {
  EXPECT_THAT(refused({"--data", "dir#1"}), HasSubstr("configuration file cannot hold"));
  EXPECT_THAT(refused({"--data", "a\nb"}), HasSubstr("configuration file cannot hold"));
  // A network file is kept by its whole path, so it is that which counts.
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "#1");
  std::ofstream(folder / "#1/small.net") << "linear classes\n";
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(folder / "#1");
  EXPECT_THAT(refused({"--network", "small.net"}),
              AllOf(HasSubstr("--network: '"), HasSubstr("configuration file cannot hold")));
  std::filesystem::current_path(here);
}

TEST(TrainOptions, HelpListsEveryOptionWithItsDefault) {
  const std::string help = train_help();
  for (const char* option : {"--data", "--tau-global", "--evaluate-every", "--print-config",
                             "--no-augment", "--patience", "--restarts"}) {
    EXPECT_THAT(help, HasSubstr(option));
  }
  EXPECT_THAT(help, HasSubstr("(default 16)"));
  EXPECT_THAT(help, HasSubstr("(default auto)"));
  EXPECT_THAT(help, Not(HasSubstr("(default 0)")));
}

TEST(TrainOptions, ACheckpointComesEverySoOftenOrSoManySteps) {
  EXPECT_FALSE(parsed({}).run.checkpoints()) << "none unless asked for";
  const std::vector<std::pair<std::string, double>> times{
      {"90s", 90}, {"10m", 600}, {"2h", 7200}, {"0.5s", 0.5}};
  for (const auto& [text, seconds] : times) {
    const RunOptions run = parsed({"--checkpoint-every", text}).run;
    EXPECT_EQ(run.checkpoint_seconds, seconds) << text;
    EXPECT_EQ(run.checkpoint_steps, 0U);
  }
  EXPECT_EQ(parsed({"--checkpoint-every", "500"}).run.checkpoint_steps, 500U);
  EXPECT_FALSE(parsed({"--checkpoint-every", "0"}).run.checkpoints());
  for (const char* bad : {"10d", "-5s", "s", "1.5", "", "nans"})
    EXPECT_THAT(refused({"--checkpoint-every", bad}), HasSubstr("--checkpoint-every")) << bad;
  EXPECT_THAT(refused({"--keep-checkpoints", "0"}), HasSubstr("--keep-checkpoints"));
}

TEST(TrainOptions, DeterministicCheckpointsLieBetweenGlobalRounds) {
  const Words deterministic{
      "--deterministic", "--mode", "barrier",      "--steps", "100",
      "--tau",           "2",      "--tau-global", "8",       "--checkpoint-every"};
  const auto with = [&](const char* every) {
    Words words = deterministic;
    words.emplace_back(every);
    return words;
  };
  EXPECT_EQ(parsed(with("16")).run.checkpoint_steps, 16U);
  EXPECT_THAT(refused(with("12")), AllOf(HasSubstr("--tau-global 8"), HasSubstr("16")));
  EXPECT_THAT(refused(with("10m")), HasSubstr("a clock"));
}

TEST(TrainOptions, CheckpointOptionsComeBackFromTheConfiguration) {
  for (const char* every : {"90s", "500"}) {
    const TrainOptions options = parsed({"--checkpoint-every", every, "--keep-checkpoints", "5"});
    const IniFile file(config_text(options));
    const RunOptions again = parsed({"--config", file.path()}).run;
    EXPECT_EQ(again.checkpoint_seconds, options.run.checkpoint_seconds);
    EXPECT_EQ(again.checkpoint_steps, options.run.checkpoint_steps);
    EXPECT_EQ(again.keep_checkpoints, 5U);
  }
}

TEST(TrainOptions, AResumedRunHasItsOwnOptionsButThoseGiven) {
  const TemporaryFolder folder;
  std::ofstream(folder / "config.ini") << config_text(
      parsed({"--network", "lenet", "--minutes", "3", "--workers", "4", "--seed", "7"}));
  const std::string run = folder.path();
  const TrainOptions resumed = parsed({"--resume", run, "--steps", "50", "--workers", "2"});
  EXPECT_EQ(resumed.resume, run);
  EXPECT_EQ(resumed.run.directory, run);
  EXPECT_EQ(resumed.network, "lenet");
  EXPECT_EQ(resumed.run.seed, 7U);
  EXPECT_EQ(resumed.run.steps, 50U);
  EXPECT_EQ(resumed.run.minutes, 0);
  EXPECT_EQ(resumed.run.workers, 2U);
  EXPECT_EQ(parsed({"--resume", run, "--network", "lenet"}).network, "lenet");
  EXPECT_THAT(refused({"--resume", run, "--network", "cnn7"}), HasSubstr("--network cnn7"));
  EXPECT_THAT(refused({"--resume", run, "--seed", "8"}), HasSubstr("--seed 8"));
  EXPECT_THAT(refused({"--resume", run, "--config", "x"}), HasSubstr("--config"));
  EXPECT_THAT(refused({"--resume", run, "--run", "x"}), HasSubstr("--run"));
  EXPECT_THAT(refused({"--resume", run + "/nothing"}), HasSubstr("holds no run"));
}

}  // namespace
}  // namespace paceline
