#include "paceline/actors/post.h"

#include <chrono>

namespace paceline {

using namespace std::chrono_literals;

// ---- MailboxOutbox ----

void MailboxOutbox::send(std::span<const Letter> letters) {
  const std::lock_guard lock(mutex_);
  waiting_.insert(waiting_.end(), letters.begin(), letters.end());
  flush_locked();
}

bool MailboxOutbox::flush() {
  const std::lock_guard lock(mutex_);
  return flush_locked();
}

bool MailboxOutbox::flush_locked() {
  while (!waiting_.empty() && to_.send(sender_, waiting_.front())) waiting_.pop_front();
  return waiting_.empty();
}

// ---- the postman ----

caf::actor spawn_postman(caf::actor_system& system, Mailbox own, const PostmanStop* stop,
                         std::function<void(const Letter&)> deliver, Rounds rounds) {
  return system.spawn<caf::detached>([=](caf::event_based_actor*) {
    for (bool soon = false; !stop->stopped(); soon = rounds()) {
      Letter letter;
      if (!own.wait(letter, soon ? 1ms : 200ms)) continue;
      do deliver(letter);
      while (own.take(letter));
    }
  });
}

// ---- proxies ----

namespace {

struct ProxyState {
  static constexpr const char* name = "proxy";
};

RoleActor::behavior_type role_proxy(RoleActor::stateful_pointer<ProxyState>, Outbox* out,
                                    Address self, Address to) {
  return {
      [=](const Wire& wire) { out->send(letter(LetterKind::packet, to, self, wire)); },
      [](Begin) {},
      [](Stop) {},
      [](Tick) {},
      [](const Fetched&) {},
      [](const EngineEnded&) {},
      [](Drain) {
        return caf::result<std::uint64_t, bool>{0, true};
      },
      [](Seated) {},
      [](SaveState) { return false; },
      [=](const Saved& saved) { out->send(letter(LetterKind::saved, to, self, saved)); },
  };
}

CourierActor::behavior_type courier_proxy(CourierActor::stateful_pointer<ProxyState>, Outbox* out,
                                          Address self) {
  return {
      [=](const Fetch& fetch) { out->send(letter(LetterKind::fetch, {}, self, fetch)); },
      [](Drain) {
        return caf::result<std::uint64_t, bool>{0, true};
      },
  };
}

RecorderActor::behavior_type recorder_proxy(RecorderActor::stateful_pointer<ProxyState>,
                                            Outbox* out, Address self) {
  return {
      [=](const Observation& o) {
        out->send(event_letters(o.from, {o.t, o.event}));
      },
      [=](const Progressed& p) { out->send(letter(LetterKind::progressed, {}, self, p)); },
      [](const Assessed&) {},
      [](Flush) { return Error{}; },
  };
}

}  // namespace

RoleActor spawn_role_proxy(caf::actor_system& system, Outbox* out, Address self, Address to) {
  return system.spawn(role_proxy, out, self, to);
}

CourierActor spawn_courier_proxy(caf::actor_system& system, Outbox* out, Address self) {
  return system.spawn(courier_proxy, out, self);
}

RecorderActor spawn_recorder_proxy(caf::actor_system& system, Outbox* out, Address self) {
  return system.spawn(recorder_proxy, out, self);
}

}  // namespace paceline
