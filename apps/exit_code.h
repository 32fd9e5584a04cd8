// How the program ends: its exit codes, and the one line that a failure leaves on standard error.
#pragma once

#include <string_view>

#include "paceline/result.h"

namespace paceline {

enum ExitCode : int {
  kDone = 0,
  kFailed = 1,        ///< something broke while it ran
  kMistaken = 2,      ///< what the user gave cannot work: options, data, a full disk
  kInterrupted = 130  ///< by SIGINT or SIGTERM; what was asked for so far is complete
};

/// Which code a failure of the library's ends the program with: what the user can put right (a
/// file, a full disk, a folder's rights) is kMistaken, all else kFailed.
ExitCode exit_code(const Error& error);

/// Prints "paceline COMMAND: MESSAGE" as exactly one line: control characters become '?'.
void print_mistake(std::string_view command, std::string_view message);

/// Prints the error's line and returns kMistaken: for failures before anything has been started.
ExitCode refuse(std::string_view command, const Error& error);

}  // namespace paceline
