// The protocols that protocol.cc lists; each is described in its own file.
#pragma once

#include "paceline/actors/protocol.h"

namespace paceline {

Protocol describe_lsgd();
Protocol describe_easgd();
Protocol describe_diana();
Protocol describe_lgd();
Protocol describe_eamsgd();
Protocol describe_easgd_sync();
Protocol describe_easgd_round_robin();
Protocol describe_admm();
Protocol describe_downpour();
Protocol describe_adownpour();
Protocol describe_mvadownpour();
Protocol describe_mdownpour();
Protocol describe_minibatch();
Protocol describe_local_sgd();
Protocol describe_swarm();
Protocol describe_sgd();
Protocol describe_msgd();
Protocol describe_asgd();
Protocol describe_mvasgd();

}  // namespace paceline
