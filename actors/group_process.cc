#include "paceline/actors/group_process.h"

#include <cstdlib>
#include <deque>
#include <sstream>
#include <thread>

#include "paceline/actors/courier.h"
#include "paceline/actors/crew.h"
#include "paceline/actors/group_post.h"
#include "paceline/actors/node_arena.h"
#include "paceline/actors/node_post.h"
#include "paceline/actors/resume.h"
#include "paceline/actors/service.h"
#include "paceline/actors/slot_watch.h"
#include "paceline/actors/worker_processes.h"

namespace paceline {
namespace {

using namespace std::chrono_literals;

constexpr const char* kVariable = "PACELINE_GROUP_FABRIC";
constexpr auto kToSend = 5s;

/// One group's process. Used by one thread; the postmen have theirs.
class GroupHost {
 public:
  GroupHost(caf::actor_system& system, RunContext& context, NodeArena& node)
      : system_(system),
        self_(system),
        context_(context),
        node_post_(context, node, me()),
        processes_(context, node, node_post_.to_self()),
        crew_(system, context, me(),
              context.options.isolation == Isolation::process ? &processes_ : nullptr),
        slots_(context) {}

  Result<> live(const GroupSeat& seat) {
    PACELINE_TRY(post_, GroupPost::open(context_, {seat.kind, ""}, seat.token, me()));
    const auto within = std::chrono::duration<double>(context_.options.begin_within);
    PACELINE_TRYV(post_->links().connect(
        0, seat.address,
        FabricClock::now() + std::chrono::duration_cast<FabricClock::duration>(within)));
    post_->send_text(0, LetterKind::group_hello, {{}, post_->links().address()});
    const auto spawned = spawn();
    if (!spawned) tell_ready(spawned.error());
    while (!ended_) {
      listen();
      look_around();
    }
    wind_up();
    if (failure_.code) return failure_;
    return success();
  }

 private:
  caf::actor me() { return caf::actor_cast<caf::actor>(self_); }

  Result<> spawn() {
    context_.directory.resize(context_.place.roles());
    context_.couriers.resize(context_.place.groups);
    context_.recorder = spawn_recorder_proxy(system_, &post_->links().out(0), post_->me());
    context_.couriers[*context_.only] =
        spawn_courier(system_, &context_, *context_.only, Placement::detached);
    for (std::uint32_t i = context_.place.seats(); i < context_.place.roles(); ++i) {
      const RoleKind& kind = context_.protocol->kind(context_.place.role({i}));
      if (kind && context_.hosts({i}))
        context_.directory[i] =
            spawn_service(system_, &services_.emplace_back(context_, Address{i}),
                          kind.whole_vectors ? Placement::detached : Placement::scheduled);
    }
    crew_.spawn_fronts();
    post_->start(system_);
    PACELINE_TRYV(crew_.seat_all());
    if (context_.options.isolation == Isolation::process)
      node_post_.start(system_, [this] { return processes_.flush(); });
    return success();
  }

  void listen() {
    self_->receive([&](const EngineReady& engine) { crew_.ready(engine); },
                   [&](const EngineEnded& end) { crew_.ended(end); },
                   [&](const LastWord& word) { crew_.last_word(word.end); },
                   [&](const ProcessEnded& ended) { crew_.process_ended(ended.rank); },
                   [&](const Trouble& trouble) { tell_trouble(trouble.error); },
                   [&](const Skipped& s) { tell_skipped(s.name, s.reason); },
                   [&](const FromGroup& from) { heard(from.letter); },
                   [&](const GroupLost& lost) {
                     if (lost.group != 0 || ended_) return;  // of others group 0 takes care
                     failure_ = fail(std::errc::no_such_process,
                                     "group {}: the run's process, group 0, is not reached any "
                                     "more ({}): this one ends, too",
                                     *context_.only, lost.error.message);
                     ended_ = true;
                   },
                   caf::after(std::min<std::chrono::milliseconds>(crew_.idle(), 200ms)) >> [] {});
    crew_.look_around();
    slots_.look();
  }

  void heard(const Letter& letter) {
    switch (static_cast<LetterKind>(letter.kind)) {
      case LetterKind::group_peer:
        if (const auto text = texts_.add(letter))
          meet(context_.place.group({letter.to}), text->text);
        return;
      case LetterKind::group_begin:
        context_.live.begun.store(context_.now());
        begun_ = true;
        for (std::uint32_t i = context_.place.roles(); i-- > 0;)  // services first
          if (context_.directory[i]) tell(&*self_, context_.directory[i], Begin{});
        return;
      case LetterKind::group_stop:
        return stop();
      case LetterKind::group_drain:
        if (letter.bytes == sizeof(std::uint64_t)) drain(body<std::uint64_t>(letter));
        return;
      case LetterKind::group_end:
        ended_ = true;
        return;
      default:
        return;
    }
  }

  void meet(std::uint32_t group, const std::string& address) {
    const auto connected = post_->links().connect(group, address, FabricClock::now() + kToSend);
    if (!connected)
      tell_ready(fail(connected.error().code, "cannot reach group {} at {}: {}", group, address,
                      connected.error().message));
  }

  bool all_met() const {
    for (std::uint32_t group = 0; group < context_.place.groups; ++group)
      if (group != *context_.only && !post_->links().connected(group)) return false;
    return true;
  }

  void tell_ready(const Error& error) {
    if (!std::exchange(said_ready_, true)) post_->send_text(0, LetterKind::group_ready, error);
  }
  void tell_trouble(const Error& error) {
    if (!std::exchange(troubled_, true)) post_->send_text(0, LetterKind::trouble, error);
  }
  void tell_skipped(const std::string& name, const std::string& reason) {
    post_->send_text(0, LetterKind::skipped, {{}, name + "\t" + reason});
  }

  void look_around() {
    if (crew_.failure().code)
      tell_ready(crew_.failure());
    else if (crew_.all_ready() && all_met())
      tell_ready({});
    if (!context_.data.usable()) tell_trouble(context_.data.usable().error());
    const double minutes = context_.options.minutes;
    if (begun_ && minutes > 0 && context_.train_seconds() >= 60 * minutes) stop();
    if (const double now = wall_seconds(); now - told_at_ >= 0.2) {
      told_at_ = now;
      post_->tell_figures();
      post_->tell_counts(counts());
    }
    if (!begun_ || finished_ || crew_.riding() > 0) return;
    finished_ = true;
    context_.live.ended.store(context_.now());
    post_->tell_figures();
    post_->send(0, letter(LetterKind::group_finished, {}, post_->me(), crew_.lost()));
  }

  void stop() {
    context_.budget.stop();
    crew_.stop();
  }

  GroupPost::Counts counts() const {
    GroupPost::Counts all;
    for (Rank rank = 0; rank < context_.place.seats(); ++rank)
      for (const auto& [name, n] : context_.words.seat(rank).counts.read()) all[name] += n;
    if (drained_)  // before, their threads count
      for (const ServiceHost& service : services_)
        for (const auto& [name, n] : service.counts()) all[name] += n;
    if (context_.options.slot_checksums) all["damaged"] = slots_.found();
    return all;
  }

  /// Says how far everyone is, when what they have sent has gone.
  void drain(std::uint64_t time) {
    Drained said{time, 0, true};
    const auto drained = [&](const auto& actor) {
      if (!actor) return;
      ask(&*self_, actor, 10s, Drain{})
          .receive(
              [&](std::uint64_t handled, bool waits) {
                said.handled += handled;
                said.settled = said.settled && waits;
              },
              [](const caf::error&) {});
    };
    for (const CourierActor& courier : context_.couriers) drained(courier);
    for (std::uint32_t i = context_.place.roles(); i-- > 0;) drained(context_.directory[i]);
    ask(&*self_, context_.recorder, 10s, Flush{})
        .receive([](const Error&) {}, [](const caf::error&) {});
    drained_ = said.settled;
    if (!std::exchange(said_skipped_, true))
      for (const auto& [name, reason] : context_.data.reading().skipped) tell_skipped(name, reason);
    post_->tell_figures();
    post_->tell_counts(counts());
    send_all_out();
    post_->send(0, letter(LetterKind::group_drained, {}, post_->me(), said));
  }

  void send_all_out() {
    const auto until = std::chrono::steady_clock::now() + kToSend;
    while (!post_->links().quiet() && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(1ms);
  }

  void wind_up() {
    stop();
    while (crew_.riding() > 0) listen();
    node_post_.end();
    const auto end = [&](const auto& actor) {
      if (!actor) return;
      self_->monitor(actor);
      self_->send_exit(actor, caf::exit_reason::user_shutdown);
      self_->receive([](const caf::down_msg&) {});
    };
    post_->end();
    for (const RoleActor& role : context_.directory) end(role);
    for (const CourierActor& courier : context_.couriers) end(courier);
    end(context_.recorder);
    for (ServiceHost& service : services_) service.clear();
    send_all_out();
    post_->links().end(FabricClock::now() + 2s);
  }

  caf::actor_system& system_;
  caf::scoped_actor self_;
  RunContext& context_;
  NodePost node_post_;
  WorkerProcesses processes_;
  Crew crew_;
  SlotWatch slots_;
  std::deque<ServiceHost> services_;
  std::unique_ptr<GroupPost> post_;
  TextReader texts_;
  Error failure_;
  double told_at_ = 0;
  bool begun_ = false, finished_ = false, ended_ = false, drained_ = false;
  bool said_ready_ = false, said_skipped_ = false, troubled_ = false;
};

}  // namespace

std::string GroupSeat::environment() const {
  return fmt::format("{}={} {} {} {} {}", kVariable, word_of(kind), address, token.text(), home.pid,
                     home.start_time);
}

Result<GroupSeat> GroupSeat::take_from_environment(std::uint32_t group) {
  const char* text = std::getenv(kVariable);
  GroupSeat seat;
  std::string kind, token;
  std::istringstream words(text == nullptr ? "" : text);
  words >> kind >> seat.address >> token >> seat.home.pid >> seat.home.start_time;
  const auto named =
      std::ranges::find(fabric_words(), kind, [](const auto& each) { return each.first; });
  if (!words || named == fabric_words().end())
    return fail(std::errc::invalid_argument,
                "no run to be part of: paceline train --fabric starts its groups by itself");
  unsetenv(kVariable);
  seat.group = group;
  seat.kind = named->second;
  PACELINE_TRY(seat.token, FabricToken::from_text(token));
  return seat;
}

Result<> host_group(caf::actor_system& system, const GroupSeat& seat, const RunOptions& given,
                    const Network& network, const Data& data) {
  RunOptions options = given;
  const Place place = options.place();
  if (seat.group == 0 || seat.group >= place.groups)
    return fail(std::errc::invalid_argument,
                "--group {}: the run has groups 1 to {} beside its own", seat.group,
                place.groups - 1);
  PACELINE_TRY(
      NodeArena node,
      NodeArena::create(place, network.layout().hash(),
                        planned_for_group(place, planned_steps(options, data), seat.group)));
  RunContext context(options, network, data, node.words());
  context.only = seat.group;
  context.home = seat.home;
  PACELINE_TRYV(prepare(context, options));
  PACELINE_TRY(auto arenas,
               GroupArenas::create(*context.protocol, context.device->math(), network.layout(),
                                   place, node.name(), {}, options.slot_checksums,
                                   context.slot_device(), context.only));
  context.arenas = std::make_unique<GroupArenas>(std::move(arenas));
  return GroupHost(system, context, node).live(seat);
}

}  // namespace paceline
