#include "paceline/actors/group_post.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <sstream>
#include <thread>

namespace paceline {
namespace {

using namespace std::chrono_literals;

/// A slot that takes longer is not waited for; a group without signs of life is lost no later.
constexpr auto kLongestRead = 10s;

/// What a seat has done, for the words of other processes.
struct SeatFigures {
  std::uint32_t rank = 0;
  bool gone = false, lost = false, built = false, vacant = false;
  std::uint64_t steps = 0, published = 0;
  double step_median = 0, step_spread = 0, coordination = 0, trained = 0, decoded = 0, waited = 0;
};
/// Who leads, as group 0 knows it.
struct Led {
  Rank leader = kNobody;
  std::uint64_t centre_version = 0;
};

/// Where group `group` listens: the addresses are by group, the last is of all that follow.
std::string listen_address(const RunOptions& o, FabricKind kind, std::uint32_t group) {
  std::istringstream all(o.fabric_address);
  std::string address;
  for (std::uint32_t i = 0; i <= group && std::getline(all, address, ','); ++i) {
  }
  if (kind != FabricKind::shared_memory && !address.empty() &&
      address.find(':') == std::string::npos)
    address += ":0";
  return address;
}

}  // namespace

GroupPost::GroupPost(RunContext& context, caf::actor run)
    : context_(context),
      mailbox_(context.arenas->arena(*context.only).mailbox(0)),
      run_(std::move(run)),
      stop_(mailbox_) {}

Result<std::unique_ptr<GroupPost>> GroupPost::open(RunContext& context, const FabricChoice& fabric,
                                                   const FabricToken& token, caf::actor run) {
  std::unique_ptr<GroupPost> made(new GroupPost(context, run));
  FabricOptions options;
  options.token = token;
  options.layout_hash = context.network.layout().hash();
  options.listen = listen_address(context.options, fabric.kind, *context.only);
  if (!options.listen.empty()) options.reach = FabricOptions::Reach::network;
  if (context.options.slot_checksums) options.checksums = FabricOptions::Checksums::on;
  PACELINE_TRY(made->links_, GroupLinks::open(fabric.kind, context.arenas->arena(*context.only),
                                              std::move(options), context.place.groups,
                                              [run](std::uint32_t group, const Error& error) {
                                                anonymously_tell(run, GroupLost{group, error});
                                              }));
  context.arenas->reach(
      [raw = made.get()](SlotRef ref, std::uint32_t slot, Loan loan, bool for_group) {
        return raw->read(ref, slot, std::move(loan), for_group);
      });
  return made;
}

Result<Arrival> GroupPost::read(SlotRef ref, std::uint32_t slot, Loan loan, bool for_group) {
  const double since = context_.now();
  PACELINE_TRY(Arrival arrival, links_->read(context_.place.group(ref.owner), slot, std::move(loan),
                                             FabricClock::now() + kLongestRead));
  ReadEvent event;
  event.owner = ref.owner.index;
  event.version = arrival.version;
  event.bytes = arrival.loan.bytes().size();
  event.retries = arrival.retries;
  event.retried_bytes = arrival.bytes - std::min(arrival.bytes, event.bytes);
  event.for_group = for_group;
  event.seconds = context_.now() - since;
  anonymously_tell(context_.recorder, Observation{me(), context_.train_seconds(), event});
  return arrival;
}

void GroupPost::start(caf::actor_system& system) {
  const Place& place = context_.place;
  for (std::uint32_t i = 0; i < place.roles(); ++i)
    if (!context_.hosts({i}) && context_.protocol->kind(place.role({i})))
      context_.directory[i] = spawn_role_proxy(system, &links_->out(place.group({i})), me(), {i});
  waiter_.emplace(system);
  postman_ = spawn_postman(
      system, mailbox_, &stop_, [this](const Letter& letter) { deliver(letter); },
      [this] { return !links_->flush(); });
  (*waiter_)->monitor(postman_);
}

void GroupPost::end() {
  if (!postman_) return;
  stop_.stop();
  (*waiter_)->receive([](const caf::down_msg&) {});
  postman_ = {};
  waiter_.reset();
}

void GroupPost::have_others_stand_still() {
  constexpr auto kAMoment = 300ms;  // who stops this process waits for it
  standing_.store(0);
  send_all(letter(LetterKind::group_stand_still, {}, me()));
  const auto until = std::chrono::steady_clock::now() + kAMoment;
  while (standing_.load() + 1 < context_.place.groups && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(1ms);
}

void GroupPost::have_others_go_on() { send_all(letter(LetterKind::group_go_on, {}, me())); }

void GroupPost::send_all(const Letter& letter) {
  for (std::uint32_t group = 0; group < context_.place.groups; ++group)
    if (group != this->group()) send(group, letter);
}

void GroupPost::send_text(std::uint32_t group, LetterKind kind, const Error& error) {
  TextHead head;
  head.code = error.code ? error.code.default_error_condition().value() : 0;
  links_->out(group).send(text_letters(kind, me(), head, error.message));
}

void GroupPost::tell_figures() {
  const Place& place = context_.place;
  const Reading reading = context_.data.reading();
  bool first = true;
  for (Rank rank = 0; rank < place.seats(); ++rank) {
    if (!context_.hosts({rank})) continue;
    const SeatWords& seat = context_.words.seat(rank);
    SeatFigures f;
    f.rank = rank;
    f.gone = seat.gone.load(), f.lost = seat.lost.load();
    f.built = seat.built.load(), f.vacant = seat.vacant.load();
    f.steps = seat.steps.load();
    f.published = context_.arenas->newest({{rank}, kParameters});
    f.step_median = seat.step_median.load(), f.step_spread = seat.step_spread.load();
    f.coordination = seat.coordination_seconds.load(), f.trained = seat.train_seconds.load();
    f.decoded = seat.decode_cpu_seconds.load(), f.waited = seat.data_wait_seconds.load();
    if (std::exchange(first, false)) {  // what the process's own threads have read
      f.decoded += reading.decode_cpu_seconds;
      f.waited += reading.wait_seconds;
    }
    send_all(letter(LetterKind::figures, {}, me(), f));
  }
  if (group() != place.group(place.global())) return;
  Led led{context_.live.leader.load(), 0};
  if (context_.protocol->has_centre())
    led.centre_version = context_.arenas->newest({place.global(), kParameters});
  send_all(letter(LetterKind::led, {}, me(), led));
}

void GroupPost::tell_counts(const Counts& counts) {
  for (const auto& [name, n] : counts) {
    Counted counted;
    name.copy(counted.name, sizeof counted.name - 1);
    counted.n = n;
    send(0, letter(LetterKind::counted, {}, me(), counted));
  }
}

/// Of roles of this run, and for one that is here.
bool GroupPost::sound(const Letter& letter) const {
  const auto kind = static_cast<LetterKind>(letter.kind);
  if (letter.from >= context_.place.roles() || letter.bytes > sizeof letter.payload) return false;
  if (kind != LetterKind::packet) return true;
  return letter.bytes == sizeof(Wire) && letter.to < context_.place.roles() &&
         context_.hosts({letter.to}) && context_.directory[letter.to];
}

template <class T>
bool GroupPost::heard(const Letter& letter, T& to) const {
  if (letter.bytes != sizeof(T)) {
    spdlog::warn("a letter of kind {} with {} bytes is dropped", letter.kind, letter.bytes);
    return false;
  }
  to = body<T>(letter);
  return true;
}

/// What is told of seats elsewhere.
void GroupPost::note(const Letter& letter) {
  SeatFigures f;
  if (!heard(letter, f) || f.rank >= context_.place.seats() || context_.hosts({f.rank})) return;
  SeatWords& seat = context_.words.seat(f.rank);
  const std::uint64_t before = seat.steps.exchange(f.steps);
  if (f.steps > before) context_.live.steps.fetch_add(f.steps - before);
  seat.gone.store(f.gone), seat.lost.store(f.lost), seat.built.store(f.built);
  seat.vacant.store(f.vacant);
  seat.published.store(f.published);
  seat.step_spread.store(f.step_spread), seat.step_median.store(f.step_median);
  seat.coordination_seconds.store(f.coordination), seat.train_seconds.store(f.trained);
  seat.decode_cpu_seconds.store(f.decoded), seat.data_wait_seconds.store(f.waited);
}

void GroupPost::deliver(const Letter& letter) {
  if (!sound(letter)) {
    spdlog::warn("a letter of kind {} from {} is none of this run's: dropped", letter.kind,
                 letter.from);
    return;
  }
  switch (const auto kind = static_cast<LetterKind>(letter.kind)) {
    case LetterKind::packet:
      return anonymously_tell(context_.directory[letter.to], body<Wire>(letter));
    case LetterKind::score:
    case LetterKind::leader:
    case LetterKind::pull:
    case LetterKind::read:
    case LetterKind::fault:
      if (auto timed = event_of(letter, texts_))
        anonymously_tell(context_.recorder,
                         Observation{{letter.from}, timed->t, std::move(timed->event)});
      return;
    case LetterKind::progressed:
      if (Progressed progressed; heard(letter, progressed))
        anonymously_tell(context_.recorder, progressed);
      return;
    case LetterKind::figures:
      return note(letter);
    case LetterKind::group_stand_still:
      context_.live.clock.suspend(wall_seconds());
      return send(context_.place.group({letter.from}),
                  paceline::letter(LetterKind::group_stands, {}, me()));
    case LetterKind::group_stands:
      standing_.fetch_add(1);
      return;
    case LetterKind::group_go_on:
      return context_.live.clock.go_on(wall_seconds());
    case LetterKind::led:
      if (Led led; heard(letter, led)) {
        context_.live.leader.store(led.leader);
        context_.live.centre_version.store(led.centre_version);
      }
      return;
    case LetterKind::trouble:
    case LetterKind::skipped:
      if (const auto text = texts_.add(letter)) {
        const std::size_t tab = text->text.find('\t');
        if (kind == LetterKind::skipped)
          anonymously_tell(run_, Skipped{text->text.substr(0, tab), text->text.substr(tab + 1)});
        else
          anonymously_tell(run_, Trouble{{std::error_code(text->head.code, std::generic_category()),
                                          text->text}});
      }
      return;
    default:
      return anonymously_tell(run_, FromGroup{letter});
  }
}

}  // namespace paceline
