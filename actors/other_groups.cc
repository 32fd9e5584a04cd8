#include "paceline/actors/other_groups.h"

#include <spdlog/spdlog.h>

#include <thread>

#include "paceline/actors/group_process.h"

namespace paceline {
namespace {

using namespace std::chrono_literals;

constexpr double kBetweenFigures = 0.2;  // seconds
/// For what a lost process has sent, and for its end, which says more than a connection's.
constexpr double kBeforeLoss = 0.3;
constexpr auto kToEnd = 20s;

}  // namespace

OtherGroups::OtherGroups(caf::actor_system& system, RunContext& context, const FabricChoice& fabric)
    : system_(system), context_(context), fabric_(fabric), groups_(context.place.groups) {}

Result<std::unique_ptr<OtherGroups>> OtherGroups::open(caf::actor_system& system,
                                                       RunContext& context,
                                                       const FabricChoice& fabric, caf::actor run) {
  std::unique_ptr<OtherGroups> made(new OtherGroups(system, context, fabric));
  PACELINE_TRY(made->post_, GroupPost::open(context, fabric, made->token_, std::move(run)));
  return made;
}

OtherGroups::~OtherGroups() { end(); }

Result<> OtherGroups::start_processes() {
  if (groups_[1].state != State::none) return success();
  for (std::uint32_t group = 1; group < groups_.size(); ++group) {
    std::vector<std::string> command = context_.options.group_command;
    command.insert(command.end(), {"--group", std::to_string(group)});
    const GroupSeat seat{group, fabric_.kind, post_->links().address(), token_, this_process()};
    PACELINE_TRY(groups_[group].child, ChildProcess::start(command, {seat.environment()}));
    groups_[group].state = State::starting;
    groups_[group].started = wall_seconds();
  }
  return success();
}

void OtherGroups::fail_with(Error error) {
  if (!failure_.code) failure_ = std::move(error);
}

std::size_t OtherGroups::count(State state) const {
  return static_cast<std::size_t>(std::ranges::count(groups_, state, &Group::state));
}

void OtherGroups::heard(const Letter& letter) {
  const std::uint32_t from = context_.place.group({letter.from});
  if (from == 0 || from >= groups_.size()) return;
  Group& group = groups_[from];
  switch (static_cast<LetterKind>(letter.kind)) {
    case LetterKind::group_hello:
      if (const auto text = texts_.add(letter)) greet(from, text->text);
      return;
    case LetterKind::group_ready:
      if (const auto text = texts_.add(letter)) {
        if (text->head.code != 0)
          fail_with(
              fail(static_cast<std::errc>(text->head.code), "group {}: {}", from, text->text));
        else
          group.state = State::ready;
      }
      return;
    case LetterKind::group_finished:
      group.workers_lost = letter.bytes == sizeof(bool) && body<bool>(letter);
      if (group.state == State::riding) group.state = State::finished;
      return;
    case LetterKind::group_drained:
      if (letter.bytes == sizeof(Drained)) group.drained = body<Drained>(letter);
      return;
    case LetterKind::counted:
      if (letter.bytes == sizeof(Counted)) {
        auto counted = body<Counted>(letter);
        counted.name[sizeof counted.name - 1] = 0;
        group.counts[counted.name] = counted.n;
      }
      return;
    default:
      spdlog::warn("a letter of kind {} from group {} is dropped", letter.kind, from);
  }
}

/// Connects to who says hello, and makes it known to those who did before.
void OtherGroups::greet(std::uint32_t from, const std::string& address) {
  const auto connected = post_->links().connect(from, address, FabricClock::now() + kToEnd);
  if (!connected)
    return fail_with(fail(connected.error().code, "group {} at {}: {}", from, address,
                          connected.error().message));
  groups_[from].address = address;
  const auto introduce = [&](std::uint32_t to, std::uint32_t other) {
    auto letters = text_letters(LetterKind::group_peer, post_->me(), {}, groups_[other].address);
    for (Letter& each : letters) each.to = context_.place.leader(other).index;
    post_->links().out(to).send(letters);
  };
  for (std::uint32_t other = 1; other < groups_.size(); ++other)
    if (other != from && !groups_[other].address.empty())
      introduce(from, other), introduce(other, from);
}

void OtherGroups::begin() {
  for (std::uint32_t group = 1; group < groups_.size(); ++group) {
    groups_[group].state = State::riding;
    post_->send(group, letter(LetterKind::group_begin, {}, post_->me()));
  }
}

void OtherGroups::lost(const GroupLost& lost) {
  Group& group = groups_[lost.group];
  if (group.state == State::lost || group.missed > 0) return;
  group.missed = wall_seconds();
  group.why = lost.error;
}

void OtherGroups::look_around() {
  const double now = wall_seconds();
  for (std::uint32_t g = 1; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    if (!group.child || group.state == State::lost) continue;
    if (group.missed == 0 && group.child.wait(0ns)) group.missed = now;
    if (group.missed > 0 && now - group.missed >= kBeforeLoss) settle_loss(g);
    if (group.state == State::starting && now - group.started > context_.options.begin_within)
      fail_with(fail(std::errc::timed_out,
                     "group {}: its process {} has not built its engines within {} s "
                     "(--begin-within)",
                     g, group.child.identity().pid, context_.options.begin_within));
  }
  if (now - told_at_ < kBetweenFigures) return;
  told_at_ = now;
  post_->tell_figures();
}

void OtherGroups::settle_loss(std::uint32_t g) {
  Group& group = groups_[g];
  auto end = group.child.wait(0ns);
  std::string text;
  if (end) {
    text = fmt::format("group {}: its process {} ended: {}", g, group.child.identity().pid,
                       end->words());
  } else {
    text = fmt::format("group {} is not reached any more ({}): its process {} is killed", g,
                       group.why.message, group.child.identity().pid);
    group.child.kill(SIGKILL);
    end = group.child.wait(kToEnd);
  }
  const bool begun = group.state == State::riding || group.state == State::finished;
  group.state = State::lost;
  if (!begun) return fail_with(fail(std::errc::no_child_process, "{}", text));
  anonymously_tell(context_.recorder,
                   Observation{context_.place.leader(g), context_.train_seconds(),
                               FaultEvent{0, text + ": the others go on"}});
  leave_to_heir(g);
}

void OtherGroups::leave_to_heir(std::uint32_t g) {
  const Place& place = context_.place;
  for (Rank rank = 0; rank < place.seats(); ++rank)
    if (place.group({rank}) == g) context_.words.seat(rank).vacate();
  const RoleActor& global = context_.directory[place.global().index];
  RoleActor heir;
  if (const RoleKind& kind = context_.protocol->kind(Role::leader)) {
    heir = spawn_service(system_, &heirs_.emplace_back(context_, place.leader(g)),
                         kind.whole_vectors ? Placement::detached : Placement::scheduled);
    heir_actors_.push_back(heir);
    anonymously_tell(heir, Begin{});
  }
  for (Rank rank = 0; rank < place.seats(); ++rank) {
    if (place.group({rank}) != g) continue;
    const Wire gone = to_wire(gone_packet({rank}, true));
    if (heir) anonymously_tell(heir, gone);
    if (global) anonymously_tell(global, gone);
  }
}

bool OtherGroups::all_lost() const {
  return std::all_of(groups_.begin() + 1, groups_.end(), [](const Group& group) {
    return group.state == State::lost || group.workers_lost;
  });
}

void OtherGroups::ask_to_drain() {
  post_->send_all(letter(LetterKind::group_drain, {}, post_->me(), ++drains_));
}

std::optional<Drained> OtherGroups::drained() const {
  Drained all{drains_, 0, true};
  for (std::uint32_t g = 1; g < groups_.size(); ++g) {
    if (groups_[g].state == State::lost) continue;
    const auto& said = groups_[g].drained;
    if (!said || said->time != drains_) return std::nullopt;
    all.handled += said->handled;
    all.settled = all.settled && said->settled;
  }
  if (!post_->links().quiet()) all.settled = false;
  return all;
}

void OtherGroups::stand_still() {
  post_->have_others_stand_still();
  for (const Group& group : groups_)
    if (group.child) group.child.kill(SIGSTOP);
}

void OtherGroups::go_on() {
  post_->have_others_go_on();
  for (const Group& group : groups_)
    if (group.child) group.child.kill(SIGCONT);
}

GroupPost::Counts OtherGroups::counts() const {
  GroupPost::Counts all;
  for (const Group& group : groups_)
    for (const auto& [name, n] : group.counts) all[name] += n;
  for (const ServiceHost& heir : heirs_)
    for (const auto& [name, n] : heir.counts()) all[name] += n;
  return all;
}

void OtherGroups::end() {
  if (!post_ || std::exchange(ended_, true)) return;
  post_->send_all(letter(LetterKind::group_end, {}, post_->me()));
  const auto until = std::chrono::steady_clock::now() + kToEnd;
  for (Group& group : groups_) {
    if (!group.child) continue;
    const auto left =
        std::max<std::chrono::nanoseconds>(until - std::chrono::steady_clock::now(), 0ns);
    if (!group.child.wait(left)) group.child.kill(SIGKILL);
    group.child = {};
  }
  Arena::sweep();  // of who was killed
  caf::scoped_actor self(system_);
  for (const RoleActor& heir : heir_actors_) {
    self->monitor(heir);
    self->send_exit(heir, caf::exit_reason::user_shutdown);
    self->receive([](const caf::down_msg&) {});
  }
  heir_actors_.clear();
  for (ServiceHost& heir : heirs_) heir.clear();
  post_->end();
  post_->links().end(FabricClock::now() + 1s);
}

}  // namespace paceline
