// What the actors of one run share. run() owns it and outlives every actor; nobody else keeps
// anything global. Threading: options, network, data, protocol and directory do not change once the
// first Begin is sent; the rest guards itself.
#pragma once

#include <memory>
#include <vector>

#include "paceline/actors/group_arenas.h"
#include "paceline/actors/live_state.h"
#include "paceline/actors/messages.h"
#include "paceline/actors/protocol.h"
#include "paceline/actors/run.h"
#include "paceline/actors/step_budget.h"
#include "paceline/actors/thread_clock.h"
#include "paceline/compute/device.h"

namespace paceline {

struct RunContext {
  RunContext(const RunOptions& o, const Network& n, const Data& d, std::uint64_t planned_steps)
      : options(o), network(n), data(d), budget(planned_steps) {}

  const RunOptions& options;
  const Network& network;
  const Data& data;
  Place place;
  const Protocol* protocol = nullptr;
  std::shared_ptr<const void> hyper;
  std::unique_ptr<Device> device;
  std::vector<float> initial;  ///< [P], every worker's and the centre's first parameters
  std::unique_ptr<GroupArenas> arenas;
  StepBudget budget;
  LiveState live;
  std::vector<RoleActor> directory;    ///< by Address; invalid where the protocol has no such role
  std::vector<CourierActor> couriers;  ///< by group
  RecorderActor recorder;

  double train_seconds() const { return live.train_seconds(wall_seconds()); }
};

}  // namespace paceline
