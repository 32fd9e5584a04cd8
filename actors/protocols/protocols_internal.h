// The protocols that protocol.cc lists; each is described in its own file.
#pragma once

#include "paceline/actors/protocol.h"

namespace paceline {

Protocol describe_lsgd();
Protocol describe_easgd();
Protocol describe_diana();

}  // namespace paceline
