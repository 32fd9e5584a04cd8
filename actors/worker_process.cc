#include "paceline/actors/worker_process.h"

#include <thread>

#include "paceline/actors/node_arena.h"
#include "paceline/actors/post.h"
#include "paceline/actors/run_context.h"
#include "paceline/actors/worker.h"

namespace paceline {
namespace {

using namespace std::chrono_literals;

/// One worker's process. Used by one thread; the postman has its own.
class Process {
 public:
  Process(caf::actor_system& system, RunContext& context, NodeArena& node, Rank rank)
      : system_(system),
        self_(system),
        context_(context),
        me_(context.place.worker(rank)),
        seat_(context.words.seat(rank)),
        out_(node.mailbox(), NodeArena::sender(rank)),
        mailbox_(node.mailbox(rank)),
        host_(context, rank),
        stop_(mailbox_) {}

  void live() {
    spawn();
    bool ended = false;
    while (!ended)
      self_->receive([&](const EngineReady& ready) { tell_node(LetterKind::ready, ready.error); },
                     [&](const EngineEnded& end) {
                       drain();
                       send_figures();
                       out_.send(letter(LetterKind::ended, {}, me_, end));
                       ended = true;
                     },
                     caf::after(250ms) >> [&] { look_around(); });
    end_actors();
  }

 private:
  void spawn() {
    context_.directory.resize(context_.place.roles());
    for (std::uint32_t i = 0; i < context_.place.roles(); ++i)
      if (Address{i} != me_ && context_.protocol->kind(context_.place.role({i})))
        context_.directory[i] = spawn_role_proxy(system_, &out_, me_, {i});
    context_.recorder = spawn_recorder_proxy(system_, &out_, me_);
    context_.couriers.resize(context_.place.groups);
    context_.couriers[context_.place.group(me_)] = spawn_courier_proxy(system_, &out_, me_);
    const caf::actor run = caf::actor_cast<caf::actor>(self_);
    RoleActor& front = context_.directory[me_.index] = spawn_front(system_, run);
    anonymously_tell(front, Seated{&host_});
    postman_ = spawn_postman(
        system_, mailbox_, &stop_, [this](const Letter& letter) { deliver(letter); },
        [this] {
          seat_.alive_at.store(static_cast<std::int64_t>(1e9 * context_.now()));
          return !out_.flush();
        });
    spawn_engine(system_, &host_, front, run);
  }

  /// The postman's.
  void deliver(const Letter& letter) {
    const RoleActor& front = context_.directory[me_.index];
    switch (static_cast<LetterKind>(letter.kind)) {
      case LetterKind::packet:
        return anonymously_tell(front, body<Wire>(letter));
      case LetterKind::begin:
        return anonymously_tell(front, Begin{});
      case LetterKind::stop:
        return anonymously_tell(front, Stop{});
      case LetterKind::fetched:
        return anonymously_tell(front, Fetched{body<std::uint64_t>(letter)});
      default:
        PACELINE_CHECK(false, "a letter of kind {} for a worker", letter.kind);
    }
  }

  /// Between messages: are there still data?
  void look_around() {
    const auto usable = context_.data.usable();
    if (usable || troubled_) return;
    troubled_ = true;
    tell_node(LetterKind::trouble, usable.error());
  }

  void tell_node(LetterKind kind, const Error& error) {
    TextHead head;
    head.code = error.code ? error.code.default_error_condition().value() : 0;
    out_.send(text_letters(kind, me_, head, error.message));
  }

  /// Returns when the proxies have sent all that the engine and the front told them.
  void drain() {
    const auto sent = [&](const auto& actor) {
      if (actor)
        ask(&*self_, actor, 10s, Drain{})
            .receive([](std::uint64_t, bool) {}, [](const caf::error&) {});
    };
    for (const RoleActor& role : context_.directory) sent(role);
    for (const CourierActor& courier : context_.couriers) sent(courier);
    ask(&*self_, context_.recorder, 10s, Flush{})
        .receive([](const Error&) {}, [](const caf::error&) {});
  }

  /// What this process alone knows.
  void send_figures() {
    const Reading reading = context_.data.reading();
    seat_.decode_cpu_seconds.fetch_add(reading.decode_cpu_seconds);
    seat_.data_wait_seconds.fetch_add(reading.wait_seconds);
    for (const auto& [name, reason] : reading.skipped)
      out_.send(text_letters(LetterKind::skipped, me_, {}, name + "\t" + reason));
  }

  void end_actors() {
    const auto end = [&](const auto& actor) {
      if (!actor) return;
      self_->monitor(actor);
      self_->send_exit(actor, caf::exit_reason::user_shutdown);
      self_->receive([](const caf::down_msg&) {});
    };
    for (const RoleActor& role : context_.directory) end(role);
    for (const CourierActor& courier : context_.couriers) end(courier);
    end(context_.recorder);
    while (!out_.flush()) std::this_thread::sleep_for(1ms);  // the node's end is ours
    self_->monitor(postman_);
    stop_.stop();
    self_->receive([](const caf::down_msg&) {});
  }

  caf::actor_system& system_;
  caf::scoped_actor self_;
  RunContext& context_;
  const Address me_;
  SeatWords& seat_;
  MailboxOutbox out_;
  const Mailbox mailbox_;
  WorkerHost host_;
  PostmanStop stop_;
  caf::actor postman_;
  bool troubled_ = false;
};

}  // namespace

Result<> ride_in_process(caf::actor_system& system, const WorkerSeat& seat, const RunOptions& given,
                         const Network& network, const Data& data) {
  RunOptions options = given;
  const Place place = options.place();
  if (seat.rank >= place.seats())
    return fail(std::errc::invalid_argument, "--rank {}: the run has {} seats", seat.rank,
                place.seats());
  PACELINE_TRY(NodeArena node, NodeArena::attach(seat.segment, place, network.layout().hash()));
  RunContext context(options, network, data, node.words());
  if (options.fabric != FabricKind::none) context.only = place.group({seat.rank});
  if (const auto home = Arena::creator(seat.segment)) context.home = *home;
  PACELINE_TRYV(prepare(context, options, seat.rank));
  context.use_device_for(seat.rank);  // on this thread, too: what others share is opened here
  std::vector<std::string> segments;
  for (std::uint32_t group = 0; group < place.groups; ++group)
    segments.push_back(node.sibling(fmt::format("group{}", group)));
  PACELINE_TRY(
      auto arenas,
      GroupArenas::attach(*context.protocol, context.device->math(), network.layout(), place,
                          segments, context.state_bytes(), context.slot_device(), context.only));
  context.arenas = std::make_unique<GroupArenas>(std::move(arenas));
  Process(system, context, node, seat.rank).live();
  return success();
}

}  // namespace paceline
