// A checkpoint on disk: a folder RUN/checkpoints/step-0000001234, named by the steps of all workers,
// that appears whole or not at all. docs/checkpoints.md has the format.
//   CK-1 What has a final name is whole: files are synced in a folder ".step-….tmp", which then gets
//        its name. Nothing whose name begins with a dot is ever read.
//   CK-2 Reading checks everything before anything is used: version, lengths, checksums, the
//        vectors' names and sizes. A damaged one is passed over for the one before, saying so.
//   CK-3 Older ones go when a newer one is in place, never before.
// Threading: none of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "paceline/actors/place.h"
#include "paceline/layers/input/batch_stream.h"
#include "paceline/layers/network.h"
#include "paceline/layers/safetensors.h"
#include "paceline/result.h"

namespace paceline {

/// A worker or a centre.
struct RoleCheckpoint {
  std::uint64_t steps = 0, rng = 0;
  StreamState stream;
  std::map<std::string, std::vector<double>> numbers;
  std::map<std::string, std::span<const float>> vectors;  ///< "x", "momentum", "buffers", …
};

struct Checkpoint {
  std::string protocol, network, data;
  std::uint64_t layout = 0;  ///< Layout::hash()
  std::uint64_t seed = 0;
  std::uint32_t seats = 0;   ///< workers of the run, saved or not
  std::uint64_t steps = 0;   ///< of all workers, since the run began
  double train_seconds = 0;
  Rank leader = kNobody;     ///< elected last
  std::uint64_t leader_changes = 0;
  /// All workers are here, and had taken as many steps: with --deterministic, the run goes on to the
  /// same bits.
  bool in_step = false;
  std::map<Rank, RoleCheckpoint> workers;  ///< who was riding
  std::optional<RoleCheckpoint> centre;
  std::span<const float> model;  ///< [P + B] the leader's, or the centre's with workers' buffers

  // Of one that was read:
  std::filesystem::path path;
  std::map<std::string, std::vector<float>> memory;  ///< what the spans are of
  std::vector<std::string> passed_over;              ///< newer ones that are damaged, a line each
};

/// RUN/checkpoints
std::filesystem::path checkpoint_folder(const std::filesystem::path& run);

/// What was written.
struct CheckpointFiles {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
};
/// @param keep  how many may be there afterwards, this one too; at least 1
/// @return the errors of write_file_atomically; older ones stay then
Result<CheckpointFiles> write_checkpoint(const std::filesystem::path& run,
                                         const Checkpoint& checkpoint, const Layout& layout,
                                         const Metadata& metadata, std::size_t keep);

/// @return illegal_byte_sequence where it is damaged; invalid_argument where it is whole and of
/// another network or version
Result<Checkpoint> read_checkpoint(const std::filesystem::path& path, const Layout& layout);
/// The newest whole one of a run.
/// @return no_such_file_or_directory where there is none
Result<Checkpoint> read_newest_checkpoint(const std::filesystem::path& run, const Layout& layout);

/// Before a run goes on: removes what a killed writer left, and gives damaged checkpoints names
/// under which nobody looks for one ("damaged-step-…").
void tidy_checkpoints(const std::filesystem::path& run, const Checkpoint& from);

}  // namespace paceline
