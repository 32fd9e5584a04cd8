// What a role is made of between two steps, as bytes of a slot: the worker or centre writes it, a
// checkpoint is written from it; and the other way round when a run is resumed. Threading: none of
// its own; save and restore on the role's thread.
//   RO-1 Where everything lies follows from protocol, options and layout: the same in every process.
//   RO-2 A role that goes on from its state takes the same steps as one that never stopped, given
//        the same messages.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "paceline/actors/protocol.h"
#include "paceline/actors/role_host.h"
#include "paceline/layers/input/batch_stream.h"
#include "paceline/layers/network.h"

namespace paceline {

struct StatePart {
  enum class Kind : std::uint8_t { vector, buffers, numbers };
  Kind kind = Kind::vector;
  std::string name;
  std::size_t offset = 0, count = 0;  ///< bytes; elements
};

struct StateShape {
  std::vector<StatePart> parts;
  std::size_t bytes = 0;  ///< 0: the role has nothing to keep
};

/// Of a worker or a centre: x, the momentum of a worker, what the protocol names, and a worker's
/// buffers.
StateShape state_shape(const Protocol& protocol, const void* hyper, Role role, Momentum form,
                       const Layout& layout, const VectorMath& math);

/// What lies before the parts.
struct StateHead {
  std::uint64_t steps = 0;  ///< gradients taken
  std::uint64_t rng = 0;    ///< Rng::state()
  StreamState stream;       ///< of the batches
  /// Its boundary, as CheckpointWords::at counts; kBetween: it ended in the middle of a step.
  std::uint64_t place = 0;
  std::uint64_t fresh = 0;  ///< 1: a newcomer's: rng and stream are its own but for the epoch
};

inline constexpr std::uint64_t kBetween = ~0ull;

StateHead state_head(std::span<const std::byte> state);
std::span<const std::byte> part_bytes(const StatePart& part, const VectorMath& math,
                                      std::span<const std::byte> state);
std::span<std::byte> part_bytes(const StatePart& part, const VectorMath& math,
                                std::span<std::byte> state);

/// @param buffers  [B] of a worker's engine
void save_state(RoleHost& role, const StateShape& shape, std::uint64_t place,
                const StreamState& stream, ConstVector buffers, std::span<std::byte> to);
/// Everything but the stream and the buffers, which are the engine's.
void restore_state(RoleHost& role, const StateShape& shape, std::span<const std::byte> from);
/// The buffers of a state, [B]; none where it has none.
ConstVector buffers_of(const StateShape& shape, std::span<const std::byte> state);

}  // namespace paceline
