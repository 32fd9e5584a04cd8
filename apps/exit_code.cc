#include "paceline/apps/exit_code.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

namespace paceline {

ExitCode exit_code(const Error& error) {
  // EDQUOT has no std::errc: a quota is a full disk, too.
  static const std::error_code quota(EDQUOT, std::generic_category());
  static constexpr std::array kMistakes{std::errc::invalid_argument,
                                        std::errc::no_such_file_or_directory,
                                        std::errc::not_a_directory,
                                        std::errc::is_a_directory,
                                        std::errc::file_exists,
                                        std::errc::permission_denied,
                                        std::errc::operation_not_permitted,
                                        std::errc::read_only_file_system,
                                        std::errc::no_space_on_device,
                                        std::errc::file_too_large,
                                        std::errc::not_enough_memory,
                                        std::errc::illegal_byte_sequence,
                                        std::errc::filename_too_long};
  const bool mistake = error.code == quota || std::ranges::any_of(kMistakes, [&](std::errc code) {
                         return error.code == std::make_error_condition(code);
                       });
  return mistake ? kMistaken : kFailed;
}

void print_mistake(std::string_view command, std::string_view message) {
  std::string line = "paceline";
  if (!command.empty()) line.append(" ").append(command);
  line.append(": ").append(message);
  // Names of files and options come from outside: none of them may break the line or the terminal.
  std::ranges::replace_if(
      line, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  line += '\n';
  std::fputs(line.c_str(), stderr);
}

ExitCode refuse(std::string_view command, const Error& error) {
  print_mistake(command, error.message);
  return kMistaken;
}

}  // namespace paceline
