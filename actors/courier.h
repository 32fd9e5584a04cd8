// A group's courier: brings slots of other groups into the group's arena, one copy for everyone
// there. Detached, since it moves whole vectors; the only writer of its group's copies.
#pragma once

#include "paceline/actors/run_context.h"

namespace paceline {

CourierActor spawn_courier(caf::actor_system& system, RunContext* context, std::uint32_t group,
                           Placement placement);

}  // namespace paceline
