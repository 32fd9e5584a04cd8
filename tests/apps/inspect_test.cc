// Networks on the command line: what inspect prints, and files in place of names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/data_files.h"
#include "apps/running_command.h"
#include "temporary_folder.h"

namespace paceline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kSmall = "conv 4 3x3 pad 1\nrelu\nmaxpool 4x4\nlinear classes\n";

nlohmann::json inspected(std::vector<std::string> words) {
  words.insert(words.begin(), "inspect");
  words.push_back("--json");
  const Outcome outcome = run_paceline(words);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  return nlohmann::json::parse(outcome.output);
}

TEST(Inspect, EveryNetworksLayersSumToWhatItHas) {
  for (const auto& [name, parameters] : std::map<std::string, std::uint64_t>{
           {"lenet", 1'663'370}, {"resnet20", 269'722}, {"vgg16", 15'253'578}}) {
    const auto json = inspected({name, "--batch", "8"});
    EXPECT_EQ(json.at("network"), name);
    EXPECT_EQ(json.at("parameters"), parameters);
    std::uint64_t sum = 0, multiply_adds = 0;
    for (const auto& layer : json.at("layers")) {
      sum += layer.at("parameters").get<std::uint64_t>();
      multiply_adds += layer.at("multiply_adds").get<std::uint64_t>();
    }
    EXPECT_EQ(sum, parameters);
    EXPECT_EQ(json.at("multiply_adds"), multiply_adds);
  }
  // torchvision's documentation has 4.09 G for resnet50, 0.04 G is He et al.'s ResNet-20.
  EXPECT_EQ(inspected({"resnet20", "--batch", "8"}).at("multiply_adds"), 40'551'040U);
  EXPECT_EQ(inspected({"resnet50", "--batch", "1"}).at("multiply_adds"), 4'089'184'256U);
}

TEST(Inspect, ATableNamesEveryLayerItsShapeAndTheTotals) {
  const Outcome outcome = run_paceline({"inspect", "resnet20", "--image", "1x28x28"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.errors;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("resnet20: images of 1x28x28, 10 classes"),
                                    HasSubstr("layer1.0.conv2"), HasSubstr("16x28x28"),
                                    HasSubstr("parameters     269,434, and 1,376 running")));
}

TEST(Inspect, AMachinesMemoryIsNotFilledToFindOutWhatIsTooMuch) {
  const auto json = inspected({"resnet50", "--batch", "1000000"});
  EXPECT_TRUE(json.at("activation_bytes").is_null());
  EXPECT_GT(json.at("sum_of_activations_bytes"), 1'000'000U * 3 * 224 * 224 * 4);
  EXPECT_THAT(run_paceline({"inspect", "resnet50", "--batch", "1000000"}).output,
              HasSubstr("give a smaller --batch"));
}

TEST(Inspect, MemoryIsWhatTheEngineTakes) {
  const auto json = inspected({"cnn7", "--batch", "16"});
  EXPECT_GT(json.at("activation_bytes"), 0U);
  EXPECT_GE(json.at("unshared_activation_bytes"), json.at("activation_bytes"));
}

TEST(Inspect, ANetworkAsAFileIsThatNetwork) {
  const TemporaryFolder folder;
  const Outcome printed =
      run_paceline({"inspect", "resnet18", "--as-file", "--image", "3x64x64", "--classes", "200"});
  EXPECT_EQ(printed.exit_code, 0) << printed.errors;
  std::ofstream(folder / "resnet18.net") << printed.output;
  auto named = inspected({"resnet18", "--image", "3x64x64", "--classes", "200", "--batch", "1"});
  const auto from_file = inspected({folder / "resnet18.net", "--batch", "1"});
  EXPECT_EQ(from_file, named);
}

TEST(Inspect, MistakesAreOneLineAndExitCode2) {
  const TemporaryFolder folder;
  std::ofstream(folder / "bad.net") << "conv 4 3x3\nrelu from conv2\nlinear classes\n";
  struct Case {
    std::vector<std::string> words;
    const char* says;
  };
  for (const Case& c :
       {Case{{"inspect"}, "no network: give one of lenet, cnn7"},
        Case{{"inspect", "resnet21"}, "did you mean 'resnet20'?"},
        Case{{"inspect", "lenet", "--image", "28x28"}, "--image: '28x28'"},
        Case{{"inspect", "resnet18", "--image", "224x224x3"}, "write them first, as 3x224x224"},
        Case{{"inspect", "vgg16", "--image", "3x16x16"}, "features.43 needs 2x2"},
        Case{{"inspect", "lenet", "--json", "--as-file"}, "contradicts"},
        Case{{"inspect", folder / "none.net"}, "none.net: there is no such file"},
        Case{{"inspect", folder / "bad.net"}, "bad.net:2: relu1 reads 'conv2'"},
        Case{{"bench", "step", "--network", folder / "bad.net"}, "bad.net:2: "},
        Case{{"train", "--network", folder / "bad.net", "--run", folder / "run"}, "bad.net:2: "},
        Case{{"train", "--network", "resnet2"}, "--network: no network is called"},
        Case{{"train", "--network", folder / "none.net"}, "--network: "}}) {
    const Outcome outcome = run_paceline(c.words);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
    EXPECT_THAT(outcome.output, IsEmpty());
    EXPECT_THAT(outcome.errors, AllOf(StartsWith("paceline " + c.words[0]), HasSubstr(c.says)));
    EXPECT_EQ(std::ranges::count(outcome.errors, '\n'), 1) << outcome.errors;
  }
}

TEST(NetworkFile, TrainsAndItsCheckpointIsTestedWithoutTheFile) {
  const TemporaryFolder folder;
  std::ofstream(folder / "small.net") << kSmall;
  std::filesystem::create_directory(folder / "set");
  write_idx_folder(folder / "set");
  const Outcome trained =
      run_paceline({"train", "--network", folder / "small.net", "--data", folder / "set", "--batch",
                    "4", "--steps", "2", "--workers", "1", "--run", folder / "run", "--json"});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  std::filesystem::remove(folder / "small.net");
  const Outcome tested = run_paceline({"eval", folder / "run/leader.safetensors", "--json"});
  ASSERT_EQ(tested.exit_code, 0) << tested.errors;
  EXPECT_EQ(nlohmann::json::parse(tested.output).at("images"), 10)
      << "config.ini knows where the data lies";
  EXPECT_EQ(nlohmann::json::parse(tested.output).at("network"), "small");
}

TEST(NetworkFile, AFileThatDoesNotNameItsNetworkIsTestedAsTheOneThatIsGiven) {
  const TemporaryFolder folder;
  const std::string data = "synthetic:train=64,test=64";
  const Outcome trained =
      run_paceline({"train", "--network", "lenet", "--data", data, "--batch", "16", "--steps", "1",
                    "--workers", "1", "--run", folder / "run", "--json"});
  ASSERT_EQ(trained.exit_code, 0) << trained.errors;
  // As others write a state_dict: without metadata, whose place blanks take.
  const std::string file = folder / "plain.safetensors";
  std::string bytes = content(folder / "run/leader.safetensors");
  const std::size_t from = bytes.find("\"__metadata__\""), to = bytes.find("},", from) + 2;
  ASSERT_LT(from, to);
  bytes.replace(from, to - from, std::string(to - from, ' '));
  std::ofstream(file, std::ios::binary) << bytes;

  const auto refused = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words{"eval", file};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = run_paceline(words);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.errors;
    return outcome.errors;
  };
  EXPECT_THAT(refused({}), HasSubstr("give --network, and --image and --classes"));
  EXPECT_THAT(refused({"--network", "lenet", "--image", "3x32x32"}), HasSubstr("give --data"));
  EXPECT_THAT(refused({"--network", "cnn6", "--data", data}), HasSubstr("holds another network"));
  const Outcome tested = run_paceline({"eval", file, "--network", "lenet", "--image", "3x32x32",
                                       "--classes", "10", "--data", data, "--json"});
  ASSERT_EQ(tested.exit_code, 0) << tested.errors;
  EXPECT_EQ(nlohmann::json::parse(tested.output).at("images"), 64);
  const Outcome twice =
      run_paceline({"eval", folder / "run/leader.safetensors", "--network", "lenet"});
  EXPECT_THAT(twice.errors, HasSubstr("says that itself: leave it out"));
}

}  // namespace
}  // namespace paceline
