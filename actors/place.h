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

/// The roles of a run: workers 0..W-1 in group order, seats for workers that may be added later, to
/// each group in turn, then one leader a group, then the global leader (or centre), which lives with
/// group 0.
struct Place {
  std::uint32_t groups = 1, per_group = 1;  ///< per_group: workers when the run begins
  std::uint32_t spare = 0;                  ///< seats beyond those, over all groups

  std::uint32_t workers() const { return groups * per_group; }  ///< when the run begins
  std::uint32_t seats() const { return workers() + spare; }
  std::uint32_t roles() const { return seats() + groups + 1; }
  Address worker(Rank rank) const { return {rank}; }
  Address leader(std::uint32_t group) const { return {seats() + group}; }
  Address global() const { return {seats() + groups}; }
  Role role(Address a) const {
    return a.index < seats() ? Role::worker : a == global() ? Role::global : Role::leader;
  }
  /// Whether nobody sits there when the run begins.
  bool begins_empty(Address a) const { return a.index >= workers() && a.index < seats(); }
  /// The group whose arena holds the role's slots.
  std::uint32_t group(Address a) const {
    return begins_empty(a)           ? (a.index - workers()) % groups
           : role(a) == Role::worker ? a.index / per_group
           : role(a) == Role::global ? 0
                                     : a.index - seats();
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
