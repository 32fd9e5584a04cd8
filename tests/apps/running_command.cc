#include "apps/running_command.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

namespace paceline {
namespace {

constexpr std::chrono::seconds kDeadline{600};  // a watchdog, no bound

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

RunningCommand::RunningCommand(const std::vector<std::string>& words,
                               const std::vector<std::string>& environment, Group group) {
  std::array<int, 2> output{}, errors{};
  EXPECT_EQ(pipe2(output.data(), O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(errors.data(), O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors[1], STDERR_FILENO);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setpgroup(&attributes, 0);
  if (group == Group::own) posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);

  std::vector<std::string> all = environment;
  const auto is_cache = [](const std::string& e) { return e.starts_with("PACELINE_CACHE="); };
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string variable = *entry;
    if (!variable.starts_with("PACELINE_") || is_cache(variable)) all.push_back(variable);
  }
  if (std::ranges::none_of(all, is_cache)) all.emplace_back("PACELINE_CACHE=" PACELINE_TEST_CACHE);
  std::vector<std::string> copy = words;
  std::vector<char*> arguments = pointers(copy), variables = pointers(all);
  EXPECT_EQ(
      posix_spawnp(&pid_, arguments[0], &actions, &attributes, arguments.data(), variables.data()),
      0)
      << words[0];
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(output[1]);
  close(errors[1]);
  output_ = output[0];
  errors_ = errors[0];
}

RunningCommand::~RunningCommand() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
  close(errors_);
}

void RunningCommand::send(int signal) const {
  if (pid_ > 0) kill(pid_, signal);
}

bool RunningCommand::read_some(std::chrono::milliseconds time) {
  // A descriptor below zero is one that poll() skips: a pipe that has ended.
  std::array<pollfd, 2> pipes{{{output_, POLLIN, 0}, {errors_, POLLIN, 0}}};
  poll(pipes.data(), pipes.size(), static_cast<int>(time.count()));
  std::array<char, 4096> block{};
  for (std::size_t i = 0; i < pipes.size(); ++i) {
    if (pipes[i].revents == 0) continue;
    const ssize_t count = read(pipes[i].fd, block.data(), block.size());
    if (count > 0) {
      (i == 0 ? outcome_.output : outcome_.errors).append(block.data(), std::size_t(count));
    } else {
      int& ended = i == 0 ? output_ : errors_;
      close(ended);
      ended = -1;
    }
  }
  return output_ >= 0 || errors_ >= 0;
}

bool RunningCommand::wait_for_text(const std::string& text, std::chrono::seconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  const auto came = [&] {
    return outcome_.output.find(text) != std::string::npos ||
           outcome_.errors.find(text) != std::string::npos;
  };
  while (!came()) {
    if (std::chrono::steady_clock::now() > end) return false;
    if (!read_some(std::chrono::milliseconds(50))) return came();
  }
  return true;
}

Outcome RunningCommand::wait(std::chrono::seconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (read_some(std::chrono::milliseconds(50))) {
    if (std::chrono::steady_clock::now() < end) continue;
    outcome_.overdue = true;
    kill(pid_, SIGKILL);
    break;
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  if (WIFEXITED(status)) outcome_.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) outcome_.signal = WTERMSIG(status);
  return outcome_;
}

std::vector<std::string> paceline_words(const std::vector<std::string>& arguments) {
  std::vector<std::string> words{PACELINE_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

Outcome run_paceline(const std::vector<std::string>& arguments,
                     const std::vector<std::string>& environment) {
  return RunningCommand(paceline_words(arguments), environment).wait(kDeadline);
}

}  // namespace paceline
