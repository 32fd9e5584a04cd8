// What a protocol tells the outside while it runs; a runtime writes it to the run's records.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "paceline/actors/place.h"

namespace paceline {

enum class Scope : std::uint8_t { local, global };

/// A worker offered itself as a leader.
struct ScoreEvent {
  std::uint64_t round = 0;
  double score = 0;  ///< may be infinite or NaN: then it cannot lead
  std::uint64_t version = 0;
};
/// An election; rank kNobody: nobody was eligible.
struct LeaderEvent {
  Scope scope = Scope::local;
  std::uint64_t round = 0;
  Rank rank = kNobody;
  double score = 0;
  std::uint64_t version = 0;
  bool final = false;  ///< after the last step
};
/// A worker was drawn towards a leader, or (skipped) found it too old.
struct PullEvent {
  Scope scope = Scope::local;
  std::uint64_t round = 0;
  Rank rank = kNobody;
  std::uint64_t version = 0, staleness = 0;  ///< staleness in versions
  bool skipped = false;
};
/// A slot was read over a fabric.
struct ReadEvent {
  std::uint32_t owner = 0;  ///< Address of whose slot it is
  std::uint64_t version = 0;
  std::uint64_t bytes = 0;  ///< of the version
  std::uint64_t retried_bytes = 0;
  std::uint32_t retries = 0;
  bool for_group = true;  ///< pinned by all of it; else for a test of the leader or the mean
  double seconds = 0;
};
/// A wait that ran out, or a peer that is gone: one line that names who, the round and the last
/// sign of life.
struct FaultEvent {
  std::uint64_t round = 0;
  std::string text;
};

/// The run's state is on disk, or was read from there.
struct CheckpointEvent {
  std::uint64_t steps = 0;  ///< of all workers
  std::string path;
  std::uint64_t bytes = 0;
  double seconds = 0;    ///< from the question to the last sync
  bool resumed = false;  ///< the run goes on from here
};

using Event =
    std::variant<ScoreEvent, LeaderEvent, PullEvent, ReadEvent, FaultEvent, CheckpointEvent>;

}  // namespace paceline
