// Messages between the actors of a run's processes. A typed message to an actor elsewhere goes to
// a proxy here, which puts a letter into the other process's mailbox; one detached actor a process,
// the postman, turns the letters of the own mailbox into messages.
// Threading: an Outbox is for any thread; proxies are scheduled actors; the postman has a thread of
// its own.
//   PO-1 What a process sends to another one arrives in the order of the sends, over all proxies.
//   PO-2 A full mailbox loses nothing and stops nobody: what does not fit waits in the outbox, and
//        the postman sends it as soon as there is room.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "paceline/actors/letters.h"
#include "paceline/actors/messages.h"

namespace paceline {

/// Letters on their way to one process.
class Outbox {
 public:
  virtual ~Outbox() = default;
  void send(const Letter& letter) { send(std::span(&letter, 1)); }
  virtual void send(std::span<const Letter> letters) = 0;
  /// Tries again. @return false while letters wait for room
  virtual bool flush() = 0;
};

/// Into a mailbox of this host.
class MailboxOutbox final : public Outbox {
 public:
  using Outbox::send;
  MailboxOutbox(Mailbox to, SenderId sender) : to_(to), sender_(sender) {}
  void send(std::span<const Letter> letters) override;
  bool flush() override;

 private:
  bool flush_locked();
  const Mailbox to_;
  const SenderId sender_;
  std::mutex mutex_;
  std::deque<Letter> waiting_;
};

/// The end of a postman's round: called by its thread between letters, at least five times a second.
/// @return whether letters wait for room, so that the next round comes soon
using Rounds = std::function<bool()>;

/// How to end a postman.
class PostmanStop {
 public:
  explicit PostmanStop(Mailbox own) : own_(own) {}
  void stop() {
    stopped_.store(true);
    own_.wake();
  }
  bool stopped() const { return stopped_.load(); }

 private:
  const Mailbox own_;
  std::atomic<bool> stopped_{false};
};

/// Reads `own` until `stop`. @param stop, deliver, rounds  outlive the actor, whose end is when its
/// handle goes down
caf::actor spawn_postman(caf::actor_system& system, Mailbox own, const PostmanStop* stop,
                         std::function<void(const Letter&)> deliver, Rounds rounds);

/// Proxies of what lives in another process: they end by exit messages.
/// @param out  to that process; outlives them
RoleActor spawn_role_proxy(caf::actor_system& system, Outbox* out, Address self, Address to);
CourierActor spawn_courier_proxy(caf::actor_system& system, Outbox* out, Address self);
RecorderActor spawn_recorder_proxy(caf::actor_system& system, Outbox* out, Address self);

}  // namespace paceline
