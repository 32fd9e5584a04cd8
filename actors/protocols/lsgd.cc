// Asynchronous multi-leader LSGD: every worker steps at its own pace and is drawn towards the best.
//   each step of worker i of group j:  x <- x - eta g(x)
//   n l tau   divides the sum of steps:  z^j <- best of group j;  x <- x - lambda   (x - z^j)
//   n l tau_G divides the sum of steps:  z   <- best of all;      x <- x - lambda_G (x - z)
// Teng, Gao, Chalus, Choromanska, Goldfarb, Weller 2019, equation (2) and Algorithm 1.
//
// The Extension (arXiv 1905.10395v2) also pulls after every step of its own, in the same pass, to copies of the leaders
// as they were at the last round: x <- x - (p2 / tau_G) (x - z), then x <- x - (p1 / tau) (x - z^j). Off unless
// proximal_global (p2) or proximal (p1) is given.
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
//   LS-7 A stored leader is what the worker has read, itself if it leads: nothing more is sent. It is
//        pulled to from the step after on; without the Extension nothing is stored, and LS-2 holds.
#include "lsgd_internal.h"
#include "paceline/actors/score_window.h"
#include "protocols_internal.h"

namespace paceline {
namespace {

using Steps = Lsgd::Steps;
using Sync = Lsgd::Sync;
using Score = Lsgd::Score;
using Lead = Lsgd::Lead;

/// A worker's losses and offers.
struct Offer {
  Port<Lsgd> port;
  ScoreWindow window;
  std::uint64_t begun_again = 0;  // port.begun_again(), of the window

  explicit Offer(Port<Lsgd> p)
      : port(p), window(p.numbers(Lsgd::kWindow, ScoreWindow::numbers(p.hyper().score_window))) {}
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
    if (version) port.record(ScoreEvent{round == Lsgd::kFinal ? 0 : round, score, version});
    port.send(port.leader(), Score{score, version, round == Lsgd::kFinal}, round);
  }
  /// False when readers held every buffer: nothing was published, nothing is offered.
  bool try_send(std::uint64_t round) { return offered(port.publish(kParameters, port.x()), round); }
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
Pin admit(Port<Lsgd> port, const Lead& lead, std::uint64_t round, Pin z) {
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
/// The Extension's copies of leaders (LS-7), as they were when the worker last heard of them.
class Stored {
 public:
  explicit Stored(Port<Lsgd> port) : port_(port), there_(port.numbers(Lsgd::kStored, 2)) {}

  /// Whether a leader of this scope is pulled to every step.
  bool wanted(Scope scope) const {
    if (scope == Scope::local && !port_.hyper().local_leaders(port_.place())) return false;
    return port_.hyper().every_step(scope) > 0;
  }
  void keep(Scope scope, const Pin& z) {
    if (!wanted(scope) || !z) return;
    port_.math().copy(vector(scope), port_.view(z));
    port_.math().finish();
    there_[static_cast<int>(scope)] = 1;
  }
  /// The pulls of a step, global first, as in the authors' code.
  std::vector<Pull> pulls() const {
    std::vector<Pull> result;
    for (const Scope scope : {Scope::global, Scope::local})
      if (wanted(scope) && there_[static_cast<int>(scope)] != 0)
        result.push_back({vector(scope), port_.hyper().every_step(scope)});
    return result;
  }

 private:
  Vector vector(Scope scope) const {
    return port_.vector(Lsgd::kStoredLeaders[static_cast<int>(scope)]);
  }
  Port<Lsgd> port_;
  std::span<double> there_;  // by scope: not 0 once there is one
};

/// The pull to an announced leader is the worker's to take: it is not the leader itself.
bool pulls(Port<Lsgd> port, const Lead& lead) {
  return lead.rank != kNobody && lead.rank != port.rank() && port.hyper().strength(lead.scope) != 0;
}
/// Whether an announced leader's parameters are needed, to pull to now or to store.
bool reads(Port<Lsgd> port, const Stored& stored, const Lead& lead) {
  return lead.rank != kNobody && (pulls(port, lead) || stored.wanted(lead.scope));
}

Task<> barrier_worker(Port<Lsgd> port, Offer& offer) {
  Stored stored(port);
  const Lsgd::Hyper& h = port.hyper();
  const std::uint64_t period = h.period(port.place());
  std::uint64_t round = 0;  // the last that was joined
  std::uint64_t t = 1;
  for (; port.running(); ++t) {
    const std::vector<Pull> stored_pulls = stored.pulls();
    const double loss = co_await port.step(stored_pulls);
    offer.add(loss);
    port.send(port.leader(), Steps{1, 0}, round);
    const bool wait = h.lockstep && t % period == 0;
    auto called = co_await port.receive<Sync, Gone>(wait ? Lsgd::patience(port) : 0ns, round + 1);
    if (called.as<Gone>()) co_return;
    if (!called && wait) port.record_missing(round + 1, "the round", {{port.leader()}});
    if (!called) continue;
    round = called.round();
    if (!offer.try_send(round)) offer.send(0, round);
    const Scope last = called.as<Sync>()->global ? Scope::global : Scope::local;
    for (bool more = true; more;) {
      auto lead = co_await port.receive<Lead>(Lsgd::patience(port), round);
      if (!lead) port.record_missing(round, "a leader", {{port.leader()}});
      more = lead && lead->scope != last;
      if (!lead || !reads(port, stored, *lead)) continue;
      Pin z = co_await port.pin(port.place().worker(lead->rank), kParameters, lead->version,
                                Lsgd::patience(port));
      if (lead->rank != port.rank()) z = admit(port, *lead, round, std::move(z));
      if (z && pulls(port, *lead)) port.pull(port.view(z), h.strength(lead->scope));
      stored.keep(lead->scope, z);
    }
  }
  if (!h.lockstep) co_return;
  // Last parameters take the place of what others may still be pulled to: they wait for a round.
  const auto waits = static_cast<std::int64_t>(period - (t - 1) % period);
  port.send(port.leader(), Steps{waits, 0, true}, round);
  auto called = co_await port.receive<Sync, Gone>(Lsgd::patience(port), round + 1);
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
  /// Adds the leaders to pull to, local first; they and those to be stored are pinned in `pins`.
  void take(Port<Lsgd> port, const Stored& stored, Pin (&pins)[2], std::vector<Pull>& result) {
    for (int i = 0; i < 2; ++i) {
      const Mail<Lead> lead = std::exchange(mail[i], {false, {}});
      if (!lead || !reads(port, stored, *lead)) continue;
      pins[i] = port.pin_held(port.place().worker(lead->rank), kParameters);
      if (lead->rank != port.rank()) pins[i] = admit(port, *lead, lead.round(), std::move(pins[i]));
      if (pins[i] && pulls(port, *lead))
        result.push_back({port.view(pins[i]), port.hyper().strength(lead->scope)});
    }
  }
};

Task<> nonblocking_worker(Port<Lsgd> port, Offer& offer) {
  const std::uint64_t period = port.hyper().period(port.place());
  Announced announced;
  Stored stored(port);
  bool due = false;  // an offer that readers, or the device, have kept from being published
  for (std::uint64_t t = 1;; ++t) {
    for (bool more = true; more;) {
      auto lead = co_await port.receive<Lead>(0ns);
      more = bool(lead);
      if (more) announced.add(port, lead);
    }
    {
      Pin pins[2];
      std::vector<Pull> now;
      announced.take(port, stored, pins, now);
      for (const Pull& pull : now) port.pull(pull.leader, pull.strength);
      for (const Scope scope : {Scope::local, Scope::global})
        stored.keep(scope, pins[static_cast<int>(scope)]);
    }
    if (!port.running() || port.take<Gone>()) co_return;

    port.look_ahead();
    offer.add(co_await port.gradient());
    while (auto lead = port.take<Lead>()) announced.add(port, lead);
    {
      Pin pins[2];
      std::vector<Pull> now = stored.pulls();
      announced.take(port, stored, pins, now);
      port.update(now);
      for (const Scope scope : {Scope::local, Scope::global})
        stored.keep(scope, pins[static_cast<int>(scope)]);
    }
    due = due || t % period == 0;
    if (due) due = !offer.try_send_soon(announced.round);
    port.send(port.leader(), Steps{1, 0}, announced.round);
  }
}

}  // namespace

Task<> Lsgd::worker(Port<Lsgd> port) {
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

/// A score needs a window of losses: one that began anew would keep a worker from leading.
Kept Lsgd::kept(Role role, const Hyper& h) {
  Kept kept;
  if (role != Role::worker) return kept;
  kept.numbers = {{kWindow, ScoreWindow::numbers(h.score_window)}};
  if (h.proximal == 0 && h.proximal_global == 0) return kept;
  kept.vectors.assign(std::begin(kStoredLeaders), std::end(kStoredLeaders));
  kept.numbers.emplace_back(kStored, 2);
  return kept;
}

Result<> Lsgd::Hyper::validate(const Place&) const {
  if (tau == 0) return fail(std::errc::invalid_argument, "tau is 0: give at least 1 step");
  if (tau_global < tau || tau_global % tau)
    return fail(std::errc::invalid_argument,
                "tau_global is {} and tau is {}: tau_global must be a multiple of tau", tau_global,
                tau);
  for (const double strength : {pull, pull_global})
    if (!(strength >= 0 && strength <= 1))
      return fail(std::errc::invalid_argument, "a pull of {}: give 0 to 1", strength);
  for (const double strength : {proximal, proximal_global})
    if (!(strength >= 0 && strength <= 1))
      return fail(std::errc::invalid_argument, "a proximal pull of {}: give 0 to 1", strength);
  if (score_window == 0)
    return fail(std::errc::invalid_argument, "score_window is 0: give at least 1 batch");
  if (lockstep && mode != LsgdMode::barrier)
    return fail(std::errc::invalid_argument, "lockstep needs mode=barrier");
  return success();
}

Protocol describe_lsgd() {
  return describe<Lsgd>(
      "lsgd", "workers follow their group's and the run's leader",
      "Teng, Gao, Chalus, Choromanska, Goldfarb, Weller: Leader SGD, NeurIPS 2019, Algorithm 1");
}

}  // namespace paceline
