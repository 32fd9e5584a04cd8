// The program: finds the command and hands it what follows.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "paceline/apps/bench.h"
#include "paceline/apps/compare.h"
#include "paceline/apps/doctor.h"
#include "paceline/apps/eval.h"
#include "paceline/apps/exit_code.h"
#include "paceline/apps/group.h"
#include "paceline/apps/inspect.h"
#include "paceline/apps/lab.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/protocols.h"
#include "paceline/apps/train.h"
#include "paceline/apps/worker.h"
#include "paceline/apps/workers.h"

namespace paceline {
namespace {

constexpr const char* kHelp =
    "paceline: trains convolutional networks with asynchronous workers that follow the best one\n"
    "\n"
    "  paceline train   train a network; writes a run directory\n"
    "  paceline workers add workers to a run that goes on, or remove some\n"
    "  paceline eval    test what a run has written\n"
    "  paceline inspect list a network's layers, shapes, parameters and memory\n"
    "  paceline protocols  list how workers can coordinate, with sources and traffic\n"
    "  paceline lab     try protocols against each other in the simulator\n"
    "  paceline compare try protocols against each other in real training runs\n"
    "  paceline bench   measure slot, pull, mailbox, step or data on this machine\n"
    "  paceline doctor  say what this machine has and what it lacks\n"
    "  paceline worker  one worker of a run with --isolation process, which starts it\n"
    "  paceline group   one group of a run with --fabric, which starts it\n"
    "  paceline help [COMMAND], paceline --version\n"
    "\n"
    "Try: paceline train --groups 2 --workers 4\n";

ExitCode dispatch(std::vector<std::string> words, std::span<const std::string> environment) {
  const std::vector<std::string> commands{"train",  "eval",    "inspect", "protocols",
                                          "lab",    "compare", "bench",   "doctor",
                                          "worker", "workers", "group",   "help"};
  if (words.empty()) {
    print_mistake("", "no command: try paceline help");
    return kMistaken;
  }
  std::string command = words.front();
  words.erase(words.begin());
  if (command == "--help" || command == "-h") command = "help";
  if (command == "--version") {
    fmt::print("paceline {}\n", PACELINE_VERSION);
    return kDone;
  }
  if (command == "help" && !words.empty()) {
    command = words.front();
    words = {"--help"};
  }
  if (command == "train") return train(words, environment);
  if (command == "eval") return eval(words);
  if (command == "inspect") return inspect(words);
  if (command == "protocols") return list_protocols(words);
  if (command == "lab") return lab(words);
  if (command == "compare") return compare(words, environment);
  if (command == "bench") return bench(words);
  if (command == "doctor") return doctor(words);
  if (command == "worker") return worker(words);
  if (command == "workers") return workers(words);
  if (command == "group") return group(words);
  if (command == "help") {
    fmt::print("{}", kHelp);
    return kDone;
  }
  print_mistake("", fmt::format("no command '{}'{}", command, suggestion(command, commands)));
  return kMistaken;
}

}  // namespace
}  // namespace paceline

int main(int argc, char** argv) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  try {
    const int code = paceline::dispatch({argv + std::min(argc, 1), argv + argc}, environment);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      paceline::print_mistake("", "standard output cannot be written: is its disk full?");
      return paceline::kMistaken;
    }
    return code;
  } catch (const std::exception& error) {  // no memory, no thread: nothing of ours throws
    paceline::print_mistake("", error.what());
    return paceline::kFailed;
  }
}
