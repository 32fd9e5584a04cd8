// Every protocol on real workers, as a user starts it: threads and processes, seen while it runs, stopped
// and resumed, and the same bits where they are promised.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/running_command.h"
#include "paceline/actors/protocol.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

constexpr const char* kNetwork = R"(
image 3x8x8
learning-rate 0.01
conv 4 3x3 pad 1 no-bias
bn
relu
maxpool 2x2
linear classes
)";

std::vector<std::string> names(bool repeatable) {
  std::vector<std::string> result;
  for (const Protocol* p : protocols())
    if (!p->simulated_only && (!repeatable || p->repeatable)) result.emplace_back(p->name);
  return result;
}
std::string identifier(std::string name) {
  std::ranges::replace(name, '-', '_');
  return name;
}

class RunOfProtocol : public testing::Test {
 protected:
  RunOfProtocol() { std::ofstream(folder / "small.net") << kNetwork; }

  /// With the first form of momentum that the protocol takes.
  Words run_of(const std::string& name, const std::string& directory, const Words& more) const {
    const Protocol& protocol = *find_protocol(name);
    Words words{"train",
                "--data",
                "synthetic:train=96,test=32",
                "--network",
                folder / "small.net",
                "--batch",
                "8",
                "--seed",
                "3",
                "--protocol",
                name,
                "--run",
                directory,
                "--workers",
                protocol.sequential ? "1" : "2",
                "--momentum-form",
                protocol.takes(Momentum::none) ? "none" : "sutskever",
                "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  json finished(const Words& words) {
    const Outcome outcome = run_paceline(words);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
    return json::parse(outcome.output, nullptr, false);
  }
  std::vector<json> events(const std::string& directory, const std::string& event) {
    std::istringstream lines(content(folder / (directory + "/metrics.jsonl")));
    std::vector<json> found;
    for (std::string line; std::getline(lines, line);)
      if (json object = json::parse(line); object.at("event") == event) found.push_back(object);
    return found;
  }
  std::size_t workers(const std::string& name) { return find_protocol(name)->sequential ? 1 : 2; }

  const TemporaryFolder folder;
};

class AnyProtocol : public RunOfProtocol, public testing::WithParamInterface<std::string> {};
class RepeatableProtocol : public RunOfProtocol, public testing::WithParamInterface<std::string> {};

TEST_P(AnyProtocol, RunsAndGoesOnInThreadsAndInProcesses) {
  for (const std::string isolation : {"thread", "process"}) {
    const Words more{"--isolation", isolation, "--checkpoint-every", "6"};
    Words first = run_of(GetParam(), folder / isolation, more);
    first.insert(first.end(), {"--steps", "12"});
    const json before = finished(first);
    EXPECT_EQ(before.at("steps"), 12 * workers(GetParam()));
    EXPECT_EQ(before.at("protocol"), GetParam());
    EXPECT_TRUE(before.at("test_error_leader").is_number());
    const json after =
        finished({"train", "--resume", folder / isolation, "--steps", "20", "--json"});
    EXPECT_EQ(after.at("steps"), 20 * workers(GetParam()));
    EXPECT_EQ(after.at("settings"), before.at("settings"));
    EXPECT_TRUE(events(isolation, "fault").empty()) << events(isolation, "fault").front();
  }
}
INSTANTIATE_TEST_SUITE_P(All, AnyProtocol, testing::ValuesIn(names(false)),
                         [](const auto& p) { return identifier(p.param); });

TEST_P(AnyProtocol, IsTestedWhileItRuns) {
  Words words =
      run_of(GetParam(), folder / "run", {"--minutes", "0.04", "--evaluate-every", "0.3"});
  const json summary = finished(words);
  const double end = summary.at("train_seconds");
  const std::vector<json> tests = events("run", "evaluate");
  EXPECT_TRUE(std::ranges::any_of(
      tests, [&](const json& e) { return e.at("t").get<double>() < 0.9 * end; }))
      << tests.size() << " evaluations, all at the end";
}

TEST_P(RepeatableProtocol, GivesTheSameBitsAgainInProcessesAndAfterAResume) {
  const Words more{"--deterministic", "--checkpoint-every", "8"};
  const auto ride = [&](const std::string& name, const std::string& isolation, const char* steps) {
    Words words = run_of(GetParam(), folder / name, more);
    words.insert(words.end(), {"--steps", steps, "--isolation", isolation});
    finished(words);
    return content(folder / (name + "/leader.safetensors"));
  };
  const std::string bits = ride("threads", "thread", "20");
  EXPECT_TRUE(bits == ride("processes", "process", "20"));
  EXPECT_TRUE(bits != ride("parts", "thread", "16"));
  finished({"train", "--resume", folder / "parts", "--steps", "20", "--json"});
  EXPECT_TRUE(bits == content(folder / "parts/leader.safetensors"));
}
INSTANTIATE_TEST_SUITE_P(All, RepeatableProtocol, testing::ValuesIn(names(true)),
                         [](const auto& p) { return identifier(p.param); });

TEST_F(RunOfProtocol, LooksAtParametersWithoutChangingThem) {  // Protocol::shown_on_request
  const auto ride = [&](const std::string& name, const std::string& evaluate_every) {
    finished(run_of("local-sgd", folder / name,
                    {"--deterministic", "--steps", "2000", "--evaluate-every", evaluate_every}));
    return content(folder / (name + "/leader.safetensors"));
  };
  const bool same = ride("watched", "0.01") == ride("alone", "100000");
  EXPECT_TRUE(same);
  EXPECT_GT(events("watched", "evaluate").size(), events("alone", "evaluate").size());
}

TEST_F(RunOfProtocol, KeepsWhatSetGives) {
  const json summary = finished(
      run_of("easgd", folder / "run", {"--steps", "4", "--tau", "2", "--set", "beta=0.5"}));
  EXPECT_EQ(summary.at("settings"), (json{{"tau", "2"}, {"beta", "0.5"}}));
  EXPECT_THAT(content(folder / "run/config.ini"), HasSubstr("\nset = beta=0.5\n"));
}

TEST_F(RunOfProtocol, RefusesWhatItsProtocolDoesNotHave) {
  const auto refused = [&](const std::string& protocol, const Words& more) {
    const Outcome outcome = run_paceline(run_of(protocol, folder / "no", more));
    EXPECT_EQ(outcome.exit_code, 2);
    return outcome.errors;
  };
  EXPECT_THAT(refused("easgd", {"--set", "average_rate=0.1", "--steps", "4"}),
              AllOf(HasSubstr("average_rate"), HasSubstr("easgd"), HasSubstr("it has beta")));
  EXPECT_THAT(refused("easgd", {"--set", "tau=8", "--steps", "4"}), HasSubstr("give --tau"));
  EXPECT_THAT(refused("easgd", {"--set", "beta=17", "--steps", "4"}), HasSubstr("0 to 2"));
  EXPECT_THAT(refused("diana", {"--set", "norm=one", "--steps", "4"}), HasSubstr("two, infinity"));
  EXPECT_THAT(refused("minibatch-sgd", {"--set", "beta=1", "--steps", "4"}),
              HasSubstr("none of its own"));
  EXPECT_THAT(refused("easgd", {"--set", "beta", "--steps", "4"}), HasSubstr("key=value"));
  for (const char* protocol : {"easgd", "downpour", "mdownpour", "swarm"})
    EXPECT_THAT(refused(protocol, {"--deterministic", "--steps", "4"}),
                HasSubstr("order of events is the machine's"));
}

}  // namespace
}  // namespace paceline
