// A fabric's connections, whatever roads they take, and the thread that serves them. Private to net/. Threading: functions from any thread, but those marked.
//   HB-1 One thread, the I/O thread, runs everything that is said of connections; what other threads
//        ask for is posted to it.
//   HB-2 A fabric that was itself stopped, or kept from running, takes nobody's silence for death.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "paceline/net/announcements_internal.h"
#include "paceline/net/peers/connection_internal.h"

namespace paceline {

class Hub final : private Connection::Owner {
 public:
  /// Of a dialled peer: the road to it, or why there is none. Once.
  using Answer = std::function<void(Result<std::unique_ptr<Road>>)>;

  /// What a fabric adds. All on the I/O thread.
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
    boost::asio::post(context_, std::move(work));
  }
  boost::asio::io_context& context() { return context_; }
  const Arena& arena() const { return arena_; }
  const FabricOptions& options() const { return options_; }
  Announcements& announcements() { return announcements_; }

  // On the I/O thread.
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
  void tick();
  void try_to_leave();
  void close_all(const Error& error);
  bool on_io_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

  const Arena& arena_;
  const FabricOptions options_;
  const Hooks hooks_;
  Announcements announcements_;
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  Deadline armed_for_ = Deadline::max();
  Deadline last_tick_;
  const Connection::Setting setting_;

  // On the I/O thread.
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
