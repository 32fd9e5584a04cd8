// LSGD as its two files share it: constants, messages, roles. What they do heads lsgd.cc.
#pragma once

#include "paceline/actors/election.h"
#include "paceline/actors/protocol.h"

namespace paceline {

enum class LsgdMode : std::uint8_t { barrier, nonblocking };
template <>
struct SettingWords<LsgdMode> {
  static constexpr std::string_view words[] = {"barrier", "nonblocking"};
};

struct Lsgd {
  struct Hyper {
    std::uint64_t tau = 4, tau_global = 16;  ///< steps a worker
    double pull = 0.1, pull_global = 0.1;    ///< lambda of Algorithm 1, not eta lambda
    double proximal = 0,
           proximal_global = 0;  ///< p1, p2 of the Extension; 0: the paper's algorithm
    LsgdMode mode = LsgdMode::nonblocking;
    bool lockstep = false;
    std::uint64_t score_window = 10;  ///< batches
    std::uint64_t staleness = 8;      ///< versions

    template <class F>
    void each(F f) {
      f("tau", tau), f("tau_global", tau_global), f("pull", pull), f("pull_global", pull_global);
      f("mode", mode), f("lockstep", lockstep), f("score_window", score_window);
      f("staleness", staleness), f("proximal", proximal), f("proximal_global", proximal_global);
    }
    Result<> validate(const Place&) const;

    bool local_leaders(const Place& place) const { return place.groups > 1 && tau < tau_global; }
    /// Steps of a worker from round to round.
    std::uint64_t period(const Place& place) const {
      return local_leaders(place) ? tau : tau_global;
    }
    double strength(Scope scope) const { return scope == Scope::local ? pull : pull_global; }
    /// Of the pull towards a stored leader, every step.
    double every_step(Scope scope) const {
      return scope == Scope::local ? proximal / static_cast<double>(tau)
                                   : proximal_global / static_cast<double>(tau_global);
    }
  };

  struct Steps {          // worker -> leader -> global leader
    std::int64_t steps;   ///< below 0: takes back what who leaves had counted since `round`
    std::int32_t riders;  ///< by how many W grows: 1 for who joined, -1 for who left
    bool last = false;    ///< who has done its steps waits for a round as if it took more
  };
  struct Sync {  // global leader -> leaders (-> workers: barrier)
    bool global;
  };
  struct Score {  // worker -> leader
    double score;
    std::uint64_t version;  ///< 0: an answer without an offer
    bool final;
  };
  struct Best {  // leader -> global leader
    Candidate candidate;
    bool final;
  };
  struct Lead {  // global leader -> leader -> workers
    Scope scope;
    Rank rank;
    std::uint64_t version;
  };
  using Message = std::variant<Steps, Sync, Score, Best, Lead>;
  static constexpr std::uint64_t kFinal = ~0ull;  ///< the round of last offers: never late

  /// How long a wait for a round, or for what one brings, may last.
  static nanoseconds patience(Port<Lsgd> port) {
    return port.patience(port.hyper().period(port.place()));
  }

  static std::vector<SlotShape> slots(Role role, const VectorMath& math, std::size_t dimension,
                                      const Place&) {
    if (role != Role::worker) return {};
    return {{math.bytes(dimension)}};
  }
  /// Leaders name slots; what is brought from group to group the runtime moves.
  static bool whole_vectors(Role role) { return role == Role::worker; }

  static Kept kept(Role role, const Hyper& h);
  static constexpr bool gradient_passes = true;

  static constexpr const char* kWindow = "window";  ///< numbers: its losses
  static constexpr const char* kStored = "stored";  ///< numbers: which of the next there are
  static constexpr const char* kStoredLeaders[] = {"local_leader", "global_leader"};  ///< by Scope

  static Task<> worker(Port<Lsgd> port);  // lsgd.cc
  static Task<> leader(Port<Lsgd> port);  // these two: lsgd_leaders.cc
  static Task<> global(Port<Lsgd> port);
};

}  // namespace paceline
