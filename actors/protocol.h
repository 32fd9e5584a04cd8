// Protocols by name. A protocol is a struct P with
//   struct Hyper       its constants, `each(f)` naming them and `validate(place)`
//   using Message      a std::variant of trivially copyable structs
//   static Task<> worker(Port<P>), leader(Port<P>), global(Port<P>)     as many as it has
//   static std::vector<SlotShape> slots(Role, const VectorMath&, std::size_t n, const Place&)
//   static bool whole_vectors(Role)
//   static bool takes(Momentum)             where it takes not every form
//   static Kept kept(Role, const Hyper&)    where a role has more to keep than x and its momentum
//   static constexpr bool synchronous       true: workers and centre make up one state, round by round;
//                                           workers say Port::at_round
//   static constexpr bool gradient_passes   true: nobody looks at g() after the next wait, so that
//                                           a simulator needs one for all
//   static constexpr bool repeatable        true: what it computes depends on no order of events
//   static constexpr bool shown_on_request  true: nobody reads a worker's kParameters before its end,
//                                           and the runtime publishes them when it wants to look
//   static constexpr bool sequential        true: one worker alone
//   static constexpr bool simulated_only    true: not for real training
// in a file of its own under protocols/, and one line in protocol.cc.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "paceline/actors/port.h"
#include "paceline/actors/setting.h"
#include "paceline/net/arena.h"
#include "paceline/result.h"

namespace paceline {

/// One role of a protocol, as a runtime starts it.
struct RoleKind {
  Task<> (*start)(RoleHost&) = nullptr;  ///< null: the protocol has no such role
  /// Reads or writes whole vectors: runs detached, never on the scheduler's threads.
  bool whole_vectors = false;
  explicit operator bool() const { return start != nullptr; }
};

/// What a role has beside its parameters and momentum that a checkpoint must hold, by name.
struct Kept {
  std::vector<std::string> vectors;                          ///< RoleHost::vector
  std::vector<std::pair<std::string, std::size_t>> numbers;  ///< RoleHost::numbers, and how many
};

struct Protocol {
  std::string_view name;
  std::string_view about;  ///< one line with its source
  std::string_view paper;  ///< where it is from
  RoleKind worker, leader, global;
  /// The shapes of the slots of one role. The first slot of a worker or centre holds its parameters
  /// (kParameters).
  std::vector<SlotShape> (*slots)(Role, const VectorMath&, std::size_t dimension, const Place&);
  /// Whether its updates can have this form of momentum.
  bool (*takes)(Momentum);
  Kept (*kept)(Role, const void* hyper);
  /// Workers and centre belong to one round: a checkpoint takes all of them at the same one.
  bool synchronous = false;
  bool gradient_passes = false;  ///< nobody looks at a gradient after the next wait
  bool sequential = false;       ///< one worker alone
  /// The same steps give the same bits at any timing: rounds or a single worker decide all.
  bool repeatable = false;
  /// A worker's first slot is the runtime's to publish, until the worker ends: at a boundary between
  /// two steps, when somebody wants to see its parameters.
  bool shown_on_request = false;
  bool simulated_only = false;  ///< not for real training
  /// The names that hyper() knows.
  std::vector<std::string> (*setting_names)();
  /// The values that they have when nobody gives any.
  Settings (*usual)();
  /// The protocol's constants out of settings. @return an error that names the unknown key and the
  /// known ones, or the bad value and what would do, or a contradiction
  Result<std::shared_ptr<const void>> (*hyper)(const Settings& settings, const Place& place);

  const RoleKind& kind(Role role) const {
    return role == Role::worker ? worker : role == Role::leader ? leader : global;
  }
  /// The result is the centre's vector and not that of an elected leader.
  bool has_centre() const { return global && global.whole_vectors; }
};

/// Null if there is none.
const Protocol* find_protocol(std::string_view name);
std::vector<const Protocol*> protocols();

/// Describes P for the table.
template <class P>
Protocol describe(std::string_view name, std::string_view about, std::string_view paper) {
  Protocol p;
  p.name = name;
  p.about = about;
  p.paper = paper;
  if constexpr (requires { &P::worker; })
    p.worker = {[](RoleHost& host) { return P::worker(Port<P>(host)); },
                P::whole_vectors(Role::worker)};
  if constexpr (requires { &P::leader; })
    p.leader = {[](RoleHost& host) { return P::leader(Port<P>(host)); },
                P::whole_vectors(Role::leader)};
  if constexpr (requires { &P::global; })
    p.global = {[](RoleHost& host) { return P::global(Port<P>(host)); },
                P::whole_vectors(Role::global)};
  p.slots = &P::slots;
  p.takes = [](Momentum form) {
    if constexpr (requires { P::takes(form); }) return P::takes(form);
    return true;
  };
  p.kept = [](Role role, const void* hyper) -> Kept {
    if constexpr (requires { &P::kept; })
      return P::kept(role, *static_cast<const typename P::Hyper*>(hyper));
    static_cast<void>(role), static_cast<void>(hyper);
    return {};
  };
  if constexpr (requires { P::synchronous; }) p.synchronous = P::synchronous;
  if constexpr (requires { P::gradient_passes; }) p.gradient_passes = P::gradient_passes;
  if constexpr (requires { P::repeatable; }) p.repeatable = P::repeatable;
  if constexpr (requires { P::shown_on_request; }) p.shown_on_request = P::shown_on_request;
  if constexpr (requires { P::sequential; }) p.sequential = P::sequential;
  if constexpr (requires { P::simulated_only; }) p.simulated_only = P::simulated_only;
  p.setting_names = [] {
    typename P::Hyper hyper;
    return setting_names(hyper);
  };
  p.usual = [] {
    typename P::Hyper hyper;
    return shown(hyper);
  };
  p.hyper = [](const Settings& settings,
               const Place& place) -> Result<std::shared_ptr<const void>> {
    auto hyper = std::make_shared<typename P::Hyper>();
    PACELINE_TRYV(assign(*hyper, settings));
    PACELINE_TRYV(hyper->validate(place));
    return std::shared_ptr<const void>(std::move(hyper));
  };
  return p;
}

}  // namespace paceline
