// Asynchronous multi-leader LSGD: every worker steps at its own pace and is drawn towards the best.
//   each step of worker i of group j:  x <- x - eta g(x)
//   n l tau   divides the sum of steps:  z^j <- best of group j;  x <- x - lambda   (x - z^j)
//   n l tau_G divides the sum of steps:  z   <- best of all;      x <- x - lambda_G (x - z)
// Teng, Gao, Chalus, Choromanska, Goldfarb, Weller 2019, equation (2) and Algorithm 1.
//
// Rounds. Workers tell their steps to the leader of their group, leaders to the global leader,
// which calls a round whenever the sum over all crosses a multiple of W tau. Workers offer their
// score (mean loss of a window) and version; the best of a group leads it, and in every tau_G /
// tau-th round the best of the groups' best leads all.
//   barrier      all workers join the round at their next step boundary. With lockstep a worker
//                waits for the round at its own multiples of tau: the same run at any timing.
//   nonblocking  workers publish and offer at their own multiples of tau, and pull when a leader is
//                announced: as a pass of its own if that came before the next gradient began, else
//                fused into the step's update, after the gradient term, first local, then global.
//                Nobody waits, for the device's copy neither: what it has not copied at once is offered
//                at a later boundary, as it was at its own. A leader more than `staleness` versions old is skipped. Without
//                delays this is barrier bit for bit.
// Single leader. With one group, or tau_G = tau, there are no local leaders: rounds come every
// tau_G steps a worker, and only lambda_G pulls (as in the authors' code).
//   LS-1 After N steps in all there were floor(N / (W tau)) local and floor(N / (W tau_G)) global
//        rounds, whatever the speeds. A worker that crashed leaves W, with its steps since the last
//        round; who takes its place, or is added, joins W. With lockstep a worker that has done its steps leaves
//        in the same way: it may be the first, when others have lost time by a crash.
//   LS-2 A worker never pulls to itself: one that leads, or rides alone, takes plain SGD's path.
//   LS-3 Answers to an older round are dropped. Nobody eligible: no pull.
//   LS-4 The global leader, if of another group, lies in a group's arena before that group hears of
//        it, and stays pinned there until the next.
//   LS-5 With lockstep a worker's last parameters are published when one more round is called: nobody is
//        still to be pulled to what they replace. Where nobody rides on, it is no round.
//   LS-6 A worker that crashed does not lead: from its end on the best of what the others have
//        offered does, and no round waits for it, nor for who joined after the round was called.
//        Leaders stay while somebody rides or may return.
#include <cmath>
#include <set>

#include "paceline/actors/election.h"
#include "paceline/actors/score_window.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

enum class LsgdMode : std::uint8_t { barrier, nonblocking };

struct Lsgd {
  struct Hyper {
    std::uint64_t tau = 4, tau_global = 16;  ///< steps a worker
    double pull = 0.1, pull_global = 0.1;    ///< lambda of Algorithm 1, not eta lambda
    LsgdMode mode = LsgdMode::nonblocking;
    bool lockstep = false;
    std::uint64_t score_window = 10;  ///< batches
    std::uint64_t staleness = 8;      ///< versions

    template <class F>
    void each(F f) {
      f("tau", tau), f("tau_global", tau_global), f("pull", pull), f("pull_global", pull_global);
      f("mode", mode), f("lockstep", lockstep), f("score_window", score_window);
      f("staleness", staleness);
    }
    Result<> validate(const Place&) const;

    bool local_leaders(const Place& place) const { return place.groups > 1 && tau < tau_global; }
    /// Steps of a worker from round to round.
    std::uint64_t period(const Place& place) const {
      return local_leaders(place) ? tau : tau_global;
    }
    double strength(Scope scope) const { return scope == Scope::local ? pull : pull_global; }
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

  /// A score needs a window of losses: one that began anew would keep a worker from leading.
  static Kept kept(Role role, const Hyper& h) {
    if (role != Role::worker) return {};
    return {{}, {{kWindow, ScoreWindow::numbers(h.score_window)}}};
  }
  static constexpr const char* kWindow = "window";

  // ---- worker ----

  /// A worker's losses and offers.
  struct Offer {
    Port<Lsgd> port;
    ScoreWindow window;
    std::uint64_t begun_again = 0;  // port.begun_again(), of the window

    explicit Offer(Port<Lsgd> p)
        : port(p),
          window(p.numbers(kWindow, ScoreWindow::numbers(p.hyper().score_window))) {}
    void add(double loss) {
      forget();
      window.add(loss);
    }
    /// A loss may be finite on parameters that are not: max(NaN, 0) is 0 in many a ReLU.
    void forget() {
      if (std::exchange(begun_again, port.begun_again()) != port.begun_again()) window.clear();
    }
    void send(std::uint64_t version, std::uint64_t round) {
      forget();
      const double score = window.score();
      if (version) port.record(ScoreEvent{round == kFinal ? 0 : round, score, version});
      port.send(port.leader(), Score{score, version, round == kFinal}, round);
    }
    /// False when readers held every buffer: nothing was published, nothing is offered.
    bool try_send(std::uint64_t round) {
      return offered(port.publish(kParameters, port.x()), round);
    }
    /// The same without waiting for the device; false also while it copies: to be tried again.
    bool try_send_soon(std::uint64_t round) {
      return offered(port.publish_soon(kParameters, port.x()), round);
    }
    bool offered(std::uint64_t version, std::uint64_t round) {
      if (version) send(version, round);
      return version != 0;
    }
  };

  /// Pins what a worker shall be pulled to; empty when it is the worker itself or too old.
  static Pin admit(Port<Lsgd> port, const Lead& lead, std::uint64_t round, Pin z) {
    if (!z) {
      port.count("missed");
      return {};
    }
    const Address owner = port.place().worker(lead.rank);
    const std::uint64_t known = std::max(port.newest(owner, kParameters), lead.version);
    PullEvent event{lead.scope, round, lead.rank, z.version(), 0, false};
    event.staleness = known > z.version() ? known - z.version() : 0;
    event.skipped = event.staleness > port.hyper().staleness;
    port.count(event.skipped ? "stale" : "pull");
    if (!event.skipped) port.count("leader_bytes", port.math().bytes(port.x().count));
    port.record(event);
    if (event.skipped) return {};
    return z;
  }
  static bool pulls(Port<Lsgd> port, const Lead& lead) {
    return lead.rank != kNobody && lead.rank != port.rank() &&
           port.hyper().strength(lead.scope) != 0;
  }

  static Task<> worker(Port<Lsgd> port) {
    Offer offer(port);
    if (port.hyper().mode == LsgdMode::barrier)
      co_await barrier_worker(port, offer);
    else
      co_await nonblocking_worker(port, offer);
    while (port.running()) offer.add(co_await port.step());  // the leader is gone: alone
    const std::uint64_t version =
        co_await publish_within(port, kParameters, port.x(), patience(port));
    offer.send(version, kFinal);
  }

  static Task<> barrier_worker(Port<Lsgd> port, Offer& offer) {
    const Hyper& h = port.hyper();
    const std::uint64_t period = h.period(port.place());
    std::uint64_t round = 0;  // the last that was joined
    std::uint64_t t = 1;
    for (; port.running(); ++t) {
      offer.add(co_await port.step());
      port.send(port.leader(), Steps{1, 0}, round);
      const bool wait = h.lockstep && t % period == 0;
      auto called = co_await port.receive<Sync, Gone>(wait ? patience(port) : 0ns, round + 1);
      if (called.as<Gone>()) co_return;
      if (!called && wait) port.record_missing(round + 1, "the round", {{port.leader()}});
      if (!called) continue;
      round = called.round();
      if (!offer.try_send(round)) offer.send(0, round);
      const Scope last = called.as<Sync>()->global ? Scope::global : Scope::local;
      for (bool more = true; more;) {
        auto lead = co_await port.receive<Lead>(patience(port), round);
        if (!lead) port.record_missing(round, "a leader", {{port.leader()}});
        more = lead && lead->scope != last;
        if (!lead || !pulls(port, *lead)) continue;
        Pin z = co_await port.pin(port.place().worker(lead->rank), kParameters, lead->version,
                                  patience(port));
        z = admit(port, *lead, round, std::move(z));
        if (z) port.pull(port.view(z), h.strength(lead->scope));
      }
    }
    if (!h.lockstep) co_return;
    // Last parameters take the place of what others may still be pulled to: they wait for a round.
    const auto waits = static_cast<std::int64_t>(period - (t - 1) % period);
    port.send(port.leader(), Steps{waits, 0, true}, round);
    auto called = co_await port.receive<Sync, Gone>(patience(port), round + 1);
    if (!called) port.record_missing(round + 1, "the last round", {{port.leader()}});
  }

  /// The newest announcement of each scope that was not acted upon.
  struct Announced {
    Mail<Lead> mail[2] = {{false, {}}, {false, {}}};
    std::uint64_t round = 0;

    void add(Port<Lsgd> port, const Mail<Lead>& lead) {
      Mail<Lead>& newest = mail[static_cast<int>(lead->scope)];
      if (newest) port.count("superseded");
      if (!newest || lead.round() >= newest.round()) newest = lead;
      round = std::max(round, lead.round());
    }
    /// The leaders to pull to, local first; pinned in `pins`.
    std::vector<Pull> take(Port<Lsgd> port, Pin (&pins)[2]) {
      std::vector<Pull> result;
      for (int i = 0; i < 2; ++i) {
        const Mail<Lead> lead = std::exchange(mail[i], {false, {}});
        if (!lead || !pulls(port, *lead)) continue;
        pins[i] = port.pin_held(port.place().worker(lead->rank), kParameters);
        pins[i] = admit(port, *lead, lead.round(), std::move(pins[i]));
        if (pins[i]) result.push_back({port.view(pins[i]), port.hyper().strength(lead->scope)});
      }
      return result;
    }
  };

  static Task<> nonblocking_worker(Port<Lsgd> port, Offer& offer) {
    const std::uint64_t period = port.hyper().period(port.place());
    Announced announced;
    bool due = false;  // an offer that readers, or the device, have kept from being published
    for (std::uint64_t t = 1;; ++t) {
      for (bool more = true; more;) {
        auto lead = co_await port.receive<Lead>(0ns);
        more = bool(lead);
        if (more) announced.add(port, lead);
      }
      {
        Pin pins[2];
        for (const Pull& pull : announced.take(port, pins)) port.pull(pull.leader, pull.strength);
      }
      if (!port.running() || port.take<Gone>()) co_return;

      port.look_ahead();
      offer.add(co_await port.gradient());
      while (auto lead = port.take<Lead>()) announced.add(port, lead);
      {
        Pin pins[2];
        port.update(announced.take(port, pins));
      }
      due = due || t % period == 0;
      if (due) due = !offer.try_send_soon(announced.round);
      port.send(port.leader(), Steps{1, 0}, announced.round);
    }
  }

  // ---- leader of a group ----

  struct Group {
    std::set<Address> riding;               // neither ended nor crashed
    std::set<Address> awaited;              // crashed, and another will take their place
    std::map<Address, std::int64_t> steps;  // since the last round
    Ballot ballot, last;
  };

  /// Takes note of a worker's steps, offer or end. One stream with the wait for offers: what a
  /// worker says stays in order.
  static void note(Port<Lsgd> port, Group& group, const Envelope<Lsgd>& e, std::uint64_t round) {
    const Address from = e.from();
    if (const auto steps = e.as<Steps>()) {
      group.steps[from] += steps->steps;
      port.send(port.global(), *steps, round);
    } else if (const auto score = e.as<Score>()) {
      const Candidate candidate{from.index, score->score, score->version};
      group.ballot.cast(candidate);
      if (score->final) group.last.cast(candidate);
      if (!score->final || !group.riding.erase(from) || !port.hyper().lockstep) return;
      port.send(port.global(), Steps{-std::exchange(group.steps[from], 0), -1}, round);
    } else if (const auto gone = e.as<Gone>()) {
      const bool rode = group.riding.erase(from) > 0, back = group.awaited.erase(from) > 0;
      if (gone->returns) group.awaited.insert(from);
      if (!gone->crashed || back || !(rode || gone->returns)) return;
      group.ballot.withdraw(from.index);
      port.send(port.global(), Steps{-std::exchange(group.steps[from], 0), -1}, round);
    } else if (e.as<Joined>()) {
      group.awaited.erase(from);
      if (group.riding.insert(from).second) port.send(port.global(), Steps{0, 1}, round);
    }
  }

  static Task<> leader(Port<Lsgd> port) {
    const Hyper& h = port.hyper();
    const Place& place = port.place();
    Group group;
    for (Rank r = 0; r < place.per_group; ++r)
      group.riding.insert(place.worker(port.group() * place.per_group + r));
    std::uint64_t round = 0;
    Pin z;  // another group's global leader, as long as this one may pull to it (LS-4)

    while (!group.riding.empty() || !group.awaited.empty()) {
      auto e = co_await port.receive(patience(port));
      if (!e) port.record_missing(round, "a step", addresses(group.riding));
      note(port, group, e, round);
      if (const auto sync = e.as<Sync>()) {
        round = e.round();
        group.steps.clear();
        if (h.mode == LsgdMode::barrier) co_await collect(port, group, *sync, round);
        const Candidate best = group.ballot.best();
        if (h.local_leaders(place) && !group.riding.empty()) {
          port.record(LeaderEvent{Scope::local, round, best.rank, best.score, best.version, false});
          tell(port, group, Lead{Scope::local, best.rank, best.version}, round);
        }
        if (sync->global) port.send(port.global(), Best{best, false}, round);
      }
      if (auto lead = e.as<Lead>()) {
        std::uint64_t announced = e.round();
        while (auto newer = port.take<Lead>()) {  // reads may be slower than rounds
          lead = *newer;
          announced = newer.round();
        }
        Pin next;
        const Address owner = place.worker(lead->rank);
        if (lead->rank != kNobody && place.group(owner) != port.group()) {
          next = co_await port.pin(owner, kParameters, lead->version, patience(port));
          if (!next) port.record_missing(announced, "parameters", {{owner}});
          if (!next) lead->rank = kNobody;
        }
        z = std::move(next);
        tell(port, group, *lead, announced);
      }
    }
    port.send(port.global(), Best{group.last.best(), true}, kFinal);
  }

  /// Calls the workers to a round and waits for their offers.
  static Task<> collect(Port<Lsgd> port, Group& group, Sync sync, std::uint64_t round) {
    group.ballot.clear();
    tell(port, group, sync, round);
    const WaitDeadline deadline = port.deadline(patience(port));
    for (std::set<Address> missing = group.riding; !missing.empty();) {
      auto e = co_await port.receive<Steps, Score, Gone, Joined>(deadline);
      if (!e) port.record_missing(round, "a score", addresses(missing));
      if (!e) co_return;
      if (e.as<Score>() && e.round() < round) continue;  // the late answer to an older one
      note(port, group, e, round);
      if (!e.as<Steps>()) missing.erase(e.from());
    }
  }

  template <class M>
  static void tell(Port<Lsgd> port, const Group& group, const M& message, std::uint64_t round) {
    for (const Address worker : group.riding) port.send(worker, message, round);
  }
  static std::vector<Address> addresses(const std::set<Address>& set) {
    return {set.begin(), set.end()};
  }

  // ---- global leader ----

  struct Groups {
    std::set<Address> riding;             // leaders of groups with workers
    std::int64_t workers = 0, steps = 0;  // those who ride; since the last round
    std::int64_t leaving = 0;             // those who have done their steps
    Ballot last;

    void note(const Envelope<Lsgd>& e, std::uint64_t round) {
      if (const auto told = e.as<Steps>()) {
        // What a leader takes back that has not heard of the last round went into that round.
        if (told->steps > 0 || e.round() == round) steps += told->steps;
        workers += told->riders;
        leaving += told->last;
      }
      const auto best = e.as<Best>();
      if (best && best->final) last.cast(best->candidate);
      if ((best && best->final) || e.as<Gone>()) riding.erase(e.from());
    }
  };

  static Task<> global(Port<Lsgd> port) {
    const Hyper& h = port.hyper();
    const Place& place = port.place();
    const auto period = static_cast<std::int64_t>(h.period(place));
    const bool local = h.local_leaders(place);
    Groups groups;
    for (std::uint32_t j = 0; j < place.groups; ++j) groups.riding.insert(place.leader(j));
    groups.workers = place.workers();
    std::uint64_t round = 0;

    while (!groups.riding.empty()) {
      auto e = co_await port.receive<Steps, Best, Gone>(patience(port));
      if (!e) port.record_missing(round, "steps", addresses(groups.riding));
      groups.note(e, round);
      while (groups.workers > 0 && groups.steps >= groups.workers * period) {
        groups.steps -= groups.workers * period;
        ++round;
        const bool all = !local || round % (h.tau_global / h.tau) == 0;
        if (std::exchange(groups.leaving, 0) >= groups.workers) {
          for (const Address leader : groups.riding) port.send(leader, Sync{false}, round);
          continue;
        }
        if (local) port.count("local_sync");
        for (const Address leader : groups.riding) port.send(leader, Sync{all}, round);
        if (all) co_await elect(port, groups, round);
      }
    }
    const Candidate best = groups.last.best();
    port.record(LeaderEvent{Scope::global, round, best.rank, best.score, best.version, true});
  }

  /// Waits for the groups' best and announces the best of them.
  static Task<> elect(Port<Lsgd> port, Groups& groups, std::uint64_t round) {
    Ballot ballot;
    const WaitDeadline deadline = port.deadline(patience(port));
    for (std::set<Address> missing = groups.riding; !missing.empty();) {
      auto e = co_await port.receive<Steps, Best, Gone>(deadline);
      if (!e) port.record_missing(round, "a candidate", addresses(missing));
      if (!e) break;
      groups.note(e, round);
      const auto best = e.as<Best>();
      if (best && e.round() == round) ballot.cast(best->candidate);
      if (e.as<Gone>() || (best && e.round() >= round)) missing.erase(e.from());
    }
    const Candidate best = ballot.best();
    port.count("global_sync");
    port.record(LeaderEvent{Scope::global, round, best.rank, best.score, best.version, false});
    for (const Address leader : groups.riding)
      port.send(leader, Lead{Scope::global, best.rank, best.version}, round);
  }
};

Result<> Lsgd::Hyper::validate(const Place&) const {
  if (tau == 0) return fail(std::errc::invalid_argument, "tau is 0: give at least 1 step");
  if (tau_global < tau || tau_global % tau)
    return fail(std::errc::invalid_argument,
                "tau_global is {} and tau is {}: tau_global must be a multiple of tau", tau_global,
                tau);
  for (const double strength : {pull, pull_global})
    if (!(strength >= 0 && strength <= 1))
      return fail(std::errc::invalid_argument, "a pull of {}: give 0 to 1", strength);
  if (score_window == 0)
    return fail(std::errc::invalid_argument, "score_window is 0: give at least 1 batch");
  if (lockstep && mode != LsgdMode::barrier)
    return fail(std::errc::invalid_argument, "lockstep needs mode=barrier");
  return success();
}

}  // namespace

template <>
struct SettingWords<LsgdMode> {
  static constexpr std::string_view words[] = {"barrier", "nonblocking"};
};

Protocol describe_lsgd() {
  return describe<Lsgd>(
      "lsgd", "workers follow their group's and the run's leader",
      "Teng, Gao, Chalus, Choromanska, Goldfarb, Weller: Leader SGD, NeurIPS 2019, Algorithm 1");
}

}  // namespace paceline
