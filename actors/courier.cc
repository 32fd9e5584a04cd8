#include "paceline/actors/courier.h"

namespace paceline {
namespace {

struct CourierState {
  static constexpr const char* name = "courier";
  std::uint64_t carried = 0;
};

CourierActor::behavior_type courier(CourierActor::stateful_pointer<CourierState> self,
                                    RunContext* context, std::uint32_t group) {
  return {
      [=](const Fetch& fetch) {
        context->arenas->fetch(group, fetch.slot, fetch.at_least);
        ++state(self).carried;
        if (fetch.asker != Address{})
          tell(self, context->directory[fetch.asker.index], Fetched{fetch.ticket});
      },
      [=](Drain) {
        return caf::result<std::uint64_t, bool>{state(self).carried, true};
      },
  };
}

}  // namespace

CourierActor spawn_courier(caf::actor_system& system, RunContext* context, std::uint32_t group,
                           Placement placement) {
  return placement == Placement::detached ? system.spawn<caf::detached>(courier, context, group)
                                          : system.spawn(courier, context, group);
}

}  // namespace paceline
