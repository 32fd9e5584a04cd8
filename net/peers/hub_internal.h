// A fabric's connections, whatever roads they take, and the thread that serves them. Private to net/. Threading: functions from any thread, but those marked.
//   HB-1 One thread at a time, whose turn it is (TU-1), runs everything that is said of connections:
//        the I/O thread, to which other threads post what they ask for. Where the fabric can look
//        for answers itself (`look`), a thread that waits for one may have the turn as well.
//   HB-2 A fabric that was itself stopped, or kept from running, takes nobody's silence for death.
#pragma once

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "paceline/net/announcements_internal.h"
#include "paceline/net/peers/connection_internal.h"
#include "paceline/net/peers/turns_internal.h"

namespace paceline {

class Hub final : private Connection::Owner {
 public:
  /// Of a dialled peer: the road to it, or why there is none. Once.
  using Answer = std::function<void(Result<std::unique_ptr<Road>>)>;

  /// What a fabric adds. All in a turn.
  struct Hooks {
    std::string segment;  ///< that peers are told of; empty: they have no use for it
    std::function<void()> shut_door = {};  ///< nobody shall come in any more; may come again
    /// Before the peer counts as connected. @return an error to refuse it by
    std::function<Result<>(const Connection&, const Welcome&)> on_open = {};
    /// Before its event.
    /// @param number  under which it wrote to the mailboxes: give_back() makes it another's
    std::function<void(PeerId, SenderId number, Connection::End, const Error&)> on_closed = {};
    std::function<bool()> is_idle = {};  ///< nothing of its own is under way
    std::function<Deadline(Deadline)> tick = {};
    /// At the end of each turn: takes what has come, sees to it that what is under way wakes the I/O
    /// thread. Empty: only that thread's handlers do such things.
    std::function<void()> look = {};
  };

  Hub(const Arena& arena, FabricOptions options, Hooks hooks);
  ~Hub();

  /// @param dial  begins it, on the I/O thread, and answers there no later than `deadline`
  Result<PeerId> connect(const std::string& address, Deadline deadline,
                         std::function<void(const Answer&)> dial);
  void read(PeerId peer, const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done);
  void send(PeerId peer, std::uint32_t mailbox, const Letter& letter, Deadline deadline,
            SendDone done);
  Result<RemoteSlot> announce(std::uint32_t slot, Deadline deadline);
  Result<> drain(Deadline deadline);
  /// Ends all connections and the I/O thread, if they have not ended yet. Once; the destructor does.
  void stop();

  template <class F>
  void post(F work) {
    turns_.post(std::move(work));
  }
  /// What is asked for by `ask` is begun, and looked for once, on this thread, if it is to be had.
  void begin_here(const std::function<void()>& ask);
  Turns& turns() { return turns_; }
  boost::asio::io_context& context() { return turns_.context(); }
  const Arena& arena() const { return arena_; }
  const FabricOptions& options() const { return options_; }
  Announcements& announcements() { return announcements_; }

  // In a turn, as all hooks are.
  /// Somebody has come in.
  void add_caller(std::unique_ptr<Road> road, const std::string& address);
  /// @return an open connection; null when there is none, or the fabric drains
  Connection* find(PeerId peer);
  /// Tells a peer that this side needs its pin no longer, if it is still connected.
  void release(PeerId peer, std::uint64_t ticket);
  /// Why find() has found nothing.
  Error why_not(PeerId peer) const;
  /// Something is due then.
  void wake_at(Deadline deadline);
  void give_back(SenderId number) { numbers_.insert(number); }

 private:
  Welcome welcome(PeerId peer) override;
  Result<> on_open(Connection& connection, const Welcome& peers) override;
  void on_closed(Connection& connection, Connection::End how, const Error& error) override;

  void add(std::unique_ptr<Road> road, Connection::Side side, std::string address,
           Deadline greeted_by, std::function<void(Result<PeerId>)> done);
  SendDone answer_later(SendDone done);
  ReadDone answer_later(ReadDone done);
  void tick();
  void try_to_leave();
  void close_all(const Error& error);
  bool may_wait() const {
    return std::this_thread::get_id() != thread_.get_id() && !turns_.is_mine();
  }
  /// A turn of this thread, in which a read or a letter may begin: none that it asked for waits.
  bool may_begin() const { return hooks_.look && turns_.is_mine() && asked_ == 0; }

  const Arena& arena_;
  const FabricOptions options_;
  const Hooks hooks_;
  Announcements announcements_;
  Turns turns_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  Deadline armed_for_ = Deadline::max();
  Deadline last_tick_;
  const Connection::Setting setting_;

  std::atomic<std::uint32_t> asked_ = 0;  // reads and letters that wait for the I/O thread

  // In a turn.
  bool is_beginning_ = false;  // callbacks come later (fabric.h)
  bool waits_ = false;         // who asks waits for the answer
  std::uint64_t last_peer_ = 0;
  std::map<PeerId, std::shared_ptr<Connection>> connections_;
  std::map<PeerId, SenderId> numbers_of_;  // in the arena's mailboxes, of those who were welcomed
  std::set<SenderId> numbers_;             // that are free
  std::map<PeerId, std::function<void(Result<PeerId>)>> connecting_;
  bool draining_ = false;
  std::function<void()> drained_;

  std::thread thread_;
};

}  // namespace paceline
