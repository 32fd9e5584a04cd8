#include "paceline/actors/role_state.h"

#include <algorithm>
#include <cstring>

namespace paceline {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kHeadBytes = kLine;
static_assert(sizeof(StateHead) <= kHeadBytes && std::is_trivially_copyable_v<StateHead>);

std::size_t bytes_of(const StatePart& part, const VectorMath& math) {
  return part.kind == StatePart::Kind::numbers ? part.count * sizeof(double)
                                               : math.bytes(part.count);
}

}  // namespace

StateShape state_shape(const Protocol& protocol, const void* hyper, Role role, Momentum form,
                       const Layout& layout, const VectorMath& math) {
  StateShape shape;
  const bool centre = role == Role::global && protocol.has_centre();
  if (role != Role::worker && !centre) return shape;
  shape.bytes = kHeadBytes;
  const auto add = [&](StatePart::Kind kind, const std::string& name, std::size_t count) {
    StatePart part{kind, name, shape.bytes, count};
    shape.bytes += (bytes_of(part, math) + kLine - 1) / kLine * kLine;
    shape.parts.push_back(std::move(part));
  };
  const Kept kept = protocol.kept(role, hyper);
  std::vector<std::string> vectors = {"x"};
  if (role == Role::worker) vectors.emplace_back("momentum");
  vectors.insert(vectors.end(), kept.vectors.begin(), kept.vectors.end());
  for (const std::string& name : vectors)
    if (name != "momentum" || form != Momentum::none)
      add(StatePart::Kind::vector, name, layout.elements);
  if (role == Role::worker && layout.buffer_elements > 0)
    add(StatePart::Kind::buffers, "buffers", layout.buffer_elements);
  for (const auto& [name, count] : kept.numbers) add(StatePart::Kind::numbers, name, count);
  return shape;
}

StateHead state_head(std::span<const std::byte> state) {
  StateHead head;
  std::memcpy(&head, state.data(), sizeof head);
  return head;
}

std::span<const std::byte> part_bytes(const StatePart& part, const VectorMath& math,
                                      std::span<const std::byte> state) {
  return state.subspan(part.offset, bytes_of(part, math));
}
std::span<std::byte> part_bytes(const StatePart& part, const VectorMath& math,
                                std::span<std::byte> state) {
  return state.subspan(part.offset, bytes_of(part, math));
}

void save_state(RoleHost& role, const StateShape& shape, std::uint64_t place,
                const StreamState& stream, ConstVector buffers, std::span<std::byte> to) {
  const StateHead head{role.steps(), role.rng().state(), stream, place, 0};
  std::memcpy(to.data(), &head, sizeof head);
  const VectorMath& math = role.math();
  for (const StatePart& part : shape.parts) {
    const std::span<std::byte> bytes = part_bytes(part, math, to);
    if (part.kind == StatePart::Kind::numbers)
      std::memcpy(bytes.data(), role.numbers(part.name, part.count).data(), bytes.size());
    else if (part.kind == StatePart::Kind::buffers)
      math.copy({bytes.data(), part.count}, buffers);
    else
      math.copy({bytes.data(), part.count}, role.vector(part.name));
  }
}

void restore_state(RoleHost& role, const StateShape& shape, std::span<const std::byte> from) {
  const StateHead head = state_head(from);
  role.continue_from(head.steps, head.fresh ? role.rng().state() : head.rng);
  const VectorMath& math = role.math();
  for (const StatePart& part : shape.parts) {
    const std::span<const std::byte> bytes = part_bytes(part, math, from);
    if (part.kind == StatePart::Kind::numbers)
      std::memcpy(role.numbers(part.name, part.count).data(), bytes.data(), bytes.size());
    else if (part.kind == StatePart::Kind::vector)
      math.copy(role.vector(part.name), {bytes.data(), part.count});
  }
}

ConstVector buffers_of(const StateShape& shape, std::span<const std::byte> state) {
  for (const StatePart& part : shape.parts)
    if (part.kind == StatePart::Kind::buffers) return {state.data() + part.offset, part.count};
  return {};
}

}  // namespace paceline
