#include "paceline/net/shared_memory/shared_memory_fabric.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "paceline/net/process.h"
#include "paceline/net/shared_memory/copier_internal.h"
#include "paceline/net/stream/stream_door_internal.h"

namespace paceline {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLookAgain{20};  // for the end of a process whose connection has ended

/// "@name": a name of the kernel's own, that goes with the socket.
Result<boost::asio::local::stream_protocol::endpoint> local_endpoint(const std::string& address) {
  if (address.size() < 2 || address.front() != '@' ||
      address.size() > sizeof(sockaddr_un::sun_path))
    return fail(std::errc::invalid_argument, "'{}' is no address of this host: @name", address);
  return boost::asio::local::stream_protocol::endpoint('\0' + address.substr(1));
}

std::string unused_address() {
  return fmt::format("@paceline.fabric.{}.{}", this_process().pid,
                     FabricToken::random().text().substr(0, 16));
}

/// Who is at the other end, by the kernel's word.
Result<ProcessIdentity> peer_of(int descriptor) {
  ucred credentials = {};
  socklen_t bytes = sizeof credentials;
  if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0)
    return fail_errno(errno, "cannot tell who connects");
  if (credentials.uid != geteuid())
    return fail(std::errc::permission_denied, "process {} is another user's", credentials.pid);
  return identify_process(credentials.pid);
}

class SharedMemoryFabricImpl final : public Fabric {
 public:
  SharedMemoryFabricImpl(Arena& arena, FabricOptions options)
      : arena_(arena),
        copier_(options.checksums),
        hub_(arena, std::move(options), hooks()),
        door_(hub_, door_hooks()) {}
  ~SharedMemoryFabricImpl() override { hub_.stop(); }  // it calls the hooks, last of all

  Result<> listen() {
    const std::string& wanted = hub_.options().listen;
    address_ = wanted.empty() ? unused_address() : wanted;
    PACELINE_TRY(const auto endpoint, local_endpoint(address_));
    return door_.listen(endpoint);
  }

  const std::string& address() const override { return address_; }

  Result<PeerId> connect(const std::string& address, Deadline deadline) override {
    PACELINE_TRY(const auto endpoint, local_endpoint(address));
    return door_.connect(endpoint, address, deadline);
  }

  Result<RemoteSlot> announce(std::uint32_t slot, Deadline deadline) override {
    return hub_.announce(slot, deadline);
  }

  void read(PeerId peer, const RemoteSlot& from, Loan loan, Deadline deadline,
            ReadDone done) override {
    const std::scoped_lock lock(mutex_);  // on_closed() finds what was added
    const auto found = neighbours_.find(peer);
    if (found == neighbours_.end() || draining_) {
      hub_.post([this, peer, loan = std::move(loan), done = std::move(done)]() mutable {
        { const Loan gone = std::move(loan); }  // FA-6
        done(hub_.why_not(peer));
      });
      return;
    }
    const auto release = [this, peer, ticket = from.ticket] {
      hub_.post([this, peer, ticket] { hub_.release(peer, ticket); });
    };
    copier_.add({peer, found->second.address, found->second.arena, from, std::move(loan), deadline,
                 std::move(done), release});
  }

  void send(PeerId peer, std::uint32_t mailbox, const Letter& letter, Deadline,
            SendDone done) override {
    Result<> sent = put(peer, mailbox, letter);
    hub_.post([this, peer, sent = std::move(sent), done = std::move(done)] {
      if (!sent && sent.error().code == std::errc::not_connected) return done(hub_.why_not(peer));
      done(sent);
    });
  }

  Result<> drain(Deadline deadline) override {
    draining_ = true;
    return hub_.drain(deadline);
  }

 private:
  struct Neighbour {
    std::string address;
    std::shared_ptr<const Arena> arena;
    SenderId number;  ///< ours in that arena
    ProcessIdentity process;
  };
  struct Departed {
    ProcessIdentity process;
    SenderId number;  ///< theirs in this arena
  };

  Hub::Hooks hooks() {
    Hub::Hooks hooks;
    hooks.segment = arena_.segment();
    hooks.shut_door = [this] { door_.shut(); };
    hooks.on_open = [this](const Connection& connection, const Welcome& peers) {
      return on_open(connection, peers);
    };
    hooks.on_closed = [this](PeerId peer, SenderId number, Connection::End how,
                             const Error& error) { on_closed(peer, number, how, error); };
    hooks.is_idle = [this] { return copier_.is_idle(); };
    hooks.tick = [this](Deadline now) { return clear_departed(now); };
    return hooks;
  }

  static StreamDoor::Hooks door_hooks() {
    StreamDoor::Hooks hooks;
    hooks.words = [](const StreamDoor::Endpoint&) { return std::string("a process of this host"); };
    return hooks;
  }

  Result<> on_open(const Connection& connection, const Welcome& peers) {
    PACELINE_TRY(const ProcessIdentity process, peer_of(connection.descriptor()));
    const std::string segment(peers.segment.data(), peers.segment_bytes);
    PACELINE_TRY(Arena arena, Arena::attach(segment, hub_.options().layout_hash));
    const std::scoped_lock lock(mutex_);
    neighbours_.emplace(connection.peer(),
                        Neighbour{connection.address(), std::make_shared<Arena>(std::move(arena)),
                                  peers.sender, process});
    return success();
  }

  void on_closed(PeerId peer, SenderId number, Connection::End how, const Error& error) {
    decltype(neighbours_)::node_type gone;
    {
      const std::scoped_lock lock(mutex_);  // a send that has begun ends before
      gone = neighbours_.extract(peer);
    }
    const auto code =
        error.code == std::errc::operation_canceled ? error.code : not_connected_code();
    copier_.end(peer, fail(code, "{}", error.message));
    if (number == hub_.options().first_sender) return;  // it never had one of its own
    if (how == Connection::End::lost && gone) {
      departed_.push_back({gone.mapped().process, number});
      hub_.wake_at(FabricClock::now() + kLookAgain);
    } else {
      hub_.give_back(number);
    }
  }

  static std::error_code not_connected_code() {
    return std::make_error_code(std::errc::not_connected);
  }

  /// SM-1. A process that was lost and lives may still write: its number stays its own.
  Deadline clear_departed(Deadline now) {
    std::erase_if(departed_, [&](const Departed& each) {
      if (is_running(each.process)) return false;
      arena_.clear_pins(each.process);
      arena_.clear_claims(each.number);
      hub_.give_back(each.number);
      return true;
    });
    return departed_.empty() ? Deadline::max() : now + kLookAgain;
  }

  Result<> put(PeerId peer, std::uint32_t mailbox, const Letter& letter) {
    const std::scoped_lock lock(mutex_);
    const auto found = neighbours_.find(peer);
    if (found == neighbours_.end() || draining_)
      return fail(std::errc::not_connected, "not connected");
    const Arena& arena = *found->second.arena;
    if (mailbox >= arena.mailboxes())
      return fail(std::errc::invalid_argument, "the peer's arena has no mailbox {}", mailbox);
    if (!arena.mailbox(mailbox).send(found->second.number, letter))
      return fail(std::errc::no_buffer_space, "the peer's mailbox is full");
    return success();
  }

  Arena& arena_;
  std::string address_;
  std::mutex mutex_;
  std::map<PeerId, Neighbour> neighbours_;
  std::atomic<bool> draining_ = false;
  std::vector<Departed> departed_;  // on the I/O thread
  Copier copier_;
  Hub hub_;
  StreamDoor door_;
};

}  // namespace

Result<std::unique_ptr<Fabric>> SharedMemoryFabric::open(Arena& arena, FabricOptions options) {
  if (arena.segment().empty())
    return fail(std::errc::invalid_argument, "a local arena cannot be reached by other processes");
  auto fabric = std::make_unique<SharedMemoryFabricImpl>(arena, std::move(options));
  PACELINE_TRYV(fabric->listen());
  return std::unique_ptr<Fabric>(std::move(fabric));
}

}  // namespace paceline
