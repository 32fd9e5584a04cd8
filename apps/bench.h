// `paceline bench slot|pull|mailbox|fabric|step|data|simulation`: measures one part on this machine.
#pragma once

#include <span>
#include <string>

#include "paceline/apps/exit_code.h"

namespace paceline {

/// @param arguments  what follows the command's name
ExitCode bench(std::span<const std::string> arguments);

}  // namespace paceline
