// Who takes part in a run, and where: the numbering of roles that messages and slots use.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace paceline {

using Rank = std::uint32_t;  ///< of a worker, over all groups
inline constexpr Rank kNobody = ~0u;

enum class Role : std::uint8_t { worker, leader, global };

/// A role of a run, by number.
struct Address {
  std::uint32_t index = kNobody;
  bool operator==(const Address&) const = default;
  auto operator<=>(const Address&) const = default;
};

/// The roles of a run: workers 0..W-1 in group order, then one leader a group, then the global
/// leader (or centre), which lives with group 0.
struct Place {
  std::uint32_t groups = 1, per_group = 1;

  std::uint32_t workers() const { return groups * per_group; }
  std::uint32_t roles() const { return workers() + groups + 1; }
  Address worker(Rank rank) const { return {rank}; }
  Address leader(std::uint32_t group) const { return {workers() + group}; }
  Address global() const { return {workers() + groups}; }
  Role role(Address a) const {
    return a.index < workers() ? Role::worker : a == global() ? Role::global : Role::leader;
  }
  /// The group whose arena holds the role's slots.
  std::uint32_t group(Address a) const {
    return role(a) == Role::worker   ? a.index / per_group
           : role(a) == Role::global ? 0
                                     : a.index - workers();
  }
  /// For people: "worker 3", "leader of group 1", "global leader".
  std::string name(Address a) const {
    switch (role(a)) {
      case Role::worker:
        return fmt::format("worker {}", a.index);
      case Role::leader:
        return fmt::format("leader of group {}", group(a));
      default:
        return "global leader";
    }
  }
};

}  // namespace paceline
