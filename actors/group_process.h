// A group of a run as a process of its own, from inside: its arena, its workers, its local leader and
// courier, which reach the other groups over the fabric alone. Threading: blocks the calling thread.
//   GR-1 It ends when group 0 says so, when group 0 is lost, and with the process that started it.
//   GR-2 Until then others read its slots: also when its workers have ended.
#pragma once

#include <string>

#include "paceline/actors/run.h"
#include "paceline/net/process.h"

namespace paceline {

/// Which group of which run, and how it is reached.
struct GroupSeat {
  std::uint32_t group = 0;
  FabricKind kind = FabricKind::none;
  std::string address;  ///< of group 0
  FabricToken token;
  ProcessIdentity home;  ///< the run's process

  /// All but the group, for an environment: "PACELINE_GROUP_FABRIC=...". It holds the token.
  std::string environment() const;
  /// Reads it, and takes it out of this process's environment.
  static Result<GroupSeat> take_from_environment(std::uint32_t group);
};

/// @param options, network, data  the same as the run's
/// @return an error when it could not even connect, or has lost group 0; all else is told to the run
Result<> host_group(caf::actor_system& system, const GroupSeat& seat, const RunOptions& options,
                    const Network& network, const Data& data);

}  // namespace paceline
