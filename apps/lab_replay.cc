#include "paceline/apps/lab_replay.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "paceline/actors/simulation/replay.h"
#include "paceline/apps/given_options.h"
#include "paceline/apps/run_parts.h"
#include "paceline/apps/train_options.h"
#include "paceline/layers/safetensors.h"

namespace paceline {
namespace {

std::vector<OptionName> option_names() {
  return {{"replay", "FILE", "what paceline train --record FILE has kept"},
          {"data", "SPEC", "the run's data, where they lie elsewhere by now"},
          {"save", "FILE", "what the leader published last, as the run's leader.safetensors"},
          {"json", "", "standard output is JSON alone"},
          {"help", "", "this list"}};
}

/// What config_text() wrote, as words of a command line.
std::vector<std::string> option_words(const std::string& text, const std::string& data) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t equals = line.find(" = ");
    if (line.starts_with('#') || equals == std::string::npos) continue;
    const std::string name = line.substr(0, equals);
    const bool other = name == "data" && !data.empty();
    words.push_back("--" + name + "=" + (other ? data : line.substr(equals + 3)));
  }
  return words;
}

/// @return whether all has the run's bits
Result<bool> replay(const GivenOptions& given, bool json) {
  PACELINE_TRY(const Course course, read_course(given.at("replay").text));
  PACELINE_TRY(
      const TrainOptions options,
      parse_train_options(option_words(course.head.options, given_text(given, "data", "")), {}));
  PACELINE_TRY(const RunParts parts, open_run_parts(options));
  PACELINE_TRY(auto training, Training::create(options.run, parts.network, parts.data));
  PACELINE_TRY(Replay lived, Replay::create(course, *training));
  PACELINE_TRYV(lived.run());
  const Place& place = course.head.place;
  const Pin pin = lived.result();
  if (!pin)
    return fail(std::errc::invalid_argument, "nobody has published anything in this course");
  std::vector<float> flat(pin.bytes().size() / sizeof(float));
  std::memcpy(flat.data(), pin.bytes().data(), pin.bytes().size());
  if (given.contains("save"))
    PACELINE_TRYV(write_safetensors(given.at("save").text, parts.network.layout(), flat, {}));
  const std::string leader = place.name(lived.leading());
  const double loss = training->loss(std::span(flat).first(training->dimension()));
  const bool same = lived.difference().empty();
  if (json) {
    const nlohmann::ordered_json all{{"protocol", options.run.protocol},
                                     {"workers", place.workers()},
                                     {"steps", lived.steps()},
                                     {"entries", course.entries.size()},
                                     {"leader", leader},
                                     {"version", pin.version()},
                                     {"objective", loss},
                                     {"timeouts", lived.count("timeout")},
                                     {"same_bits", same},
                                     {"difference", lived.difference()}};
    fmt::print("{}\n", all.dump(2));
  } else {
    fmt::print("{}, {} workers in {} groups: {} steps, {} entries\n", options.run.protocol,
               place.workers(), place.groups, lived.steps(), course.entries.size());
    fmt::print("leader: {}, version {}, loss {:.6g}\n", leader, pin.version(), loss);
    fmt::print("{}\n", same ? "every loss and the result have the run's bits"
                            : "not the run's bits: " + lived.difference());
  }
  return same;
}

}  // namespace

bool asks_for_replay(std::span<const std::string> words) {
  return std::ranges::any_of(words, [](const std::string& word) {
    return word == "--replay" || word.starts_with("--replay=");
  });
}

ExitCode lab_replay(const std::vector<std::string>& words) {
  const auto refused = [](const Error& error) { return refuse("lab", error); };
  const auto line = read_command_line(words, option_names(), 0);
  if (!line) return refused(line.error());
  const GivenOptions& given = line.value().options;
  const auto help = given_switch(given, "help"), json = given_switch(given, "json");
  if (!help) return refused(help.error());
  if (!json) return refused(json.error());
  if (help.value()) {
    fmt::print("{}",
               options_help("paceline lab --replay FILE: a recorded run's course, taken again "
                            "in the simulator.\n"
                            "Exit code 0: every loss and the result have the run's bits; 1: they "
                            "do not, and the first that\ndiffers is named; 2: the course cannot be "
                            "read, or is of other data or another network.\n",
                            option_names()));
    return kDone;
  }
  const auto same = replay(given, json.value());
  if (!same) return refused({same.error().code, "--replay: " + same.error().message});
  return same.value() ? kDone : kFailed;
}

}  // namespace paceline
