// How a process reads the slots of another node's arena and writes to its mailboxes. One Fabric
// hosts one arena for its peers and reaches theirs; TcpFabric and SharedMemoryFabric implement it.
// Threading: every function from any thread, but not connect() and drain() from a callback.
// Callbacks come on a thread of the fabric, never from within the call that they belong to, and
// must not block; a thread that waits in read_and_wait() or send_and_wait() is one for that while.
//   FA-1 Each read and each send that was taken ends by exactly one call of its callback: with what
//        was asked for, with the peer's answer why not, at its deadline, at the loss of the peer or
//        at the fabric's end. No deadline passes by unnoticed, whatever the peer does.
//   FA-2 What a read delivers is one version, whole.
//   FA-3 Letters of one thread to one peer come in the order sent, none twice. A full mailbox is an
//        error at the sender, and so is one that does not exist.
//   FA-4 An announced buffer stays pinned until its reader acknowledges (by the end of its read) or
//        the announcement's deadline passes; never longer (SL-5).
//   FA-5 Peers prove that they know the run's token before they learn anything of an arena, or where
//        its memory lies. Whoever else connects gets a refusal, and nothing else happens.
//   FA-6 A read's loan is touched by nobody once its callback begins; when the read has failed it
//        has gone back before.
//   FA-7 The end of a peer is one event, `left` or `lost`, after the callbacks of whatever was under
//        way with it. A peer that shows no life for `lost_after` is lost, a quarter of that later at the
//        latest.
//   FA-8 What a peer sends is checked before it is used; what is wrong ends that connection alone.
// What is authentic is the connection's beginning; nothing is encrypted: networks that others share
// need a tunnel.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "paceline/net/arena.h"
#include "paceline/result.h"

namespace paceline {

using FabricClock = std::chrono::steady_clock;
using Deadline = FabricClock::time_point;

/// The secret that a run's processes share. Handed on through a file or an environment that is the
/// user's alone, never through a command line.
struct FabricToken {
  std::array<std::byte, 32> bytes = {};
  static FabricToken random();
  /// @param text  64 hexadecimal digits
  static Result<FabricToken> from_text(const std::string& text);
  std::string text() const;
};

/// A connection to a peer, numbered by this process; a peer that comes again is another one.
enum class PeerId : std::uint64_t {};

/// Where a version lies on the node that hosts it: made by announce(), sent in a message, read by
/// one peer.
struct RemoteSlot {
  std::uint32_t slot = 0;
  std::uint32_t buffer = 0;   ///< that holds the version; only together with a ticket
  std::uint64_t version = 0;  ///< only together with a ticket
  std::uint64_t ticket = 0;   ///< of the pin; 0: none, whatever is newest is read

  static RemoteSlot newest(std::uint32_t slot) { return {slot, 0, 0, 0}; }
};

/// What a read brought.
struct Arrival {
  Loan loan;                  ///< filled: publish_as(version) makes it seen
  std::uint64_t version = 0;  ///< the announced one, or a newer when that one's pin had gone
  std::uint64_t bytes = 0;    ///< that came for it, what was torn and thrown away included
  std::uint32_t retries = 0;  ///< how often it was read again
};

using ReadDone = std::function<void(Result<Arrival>)>;
using SendDone = std::function<void(Result<>)>;

struct PeerEvent {
  enum class Kind {
    arrived,  ///< connected to us, or we to it, and is who it should be
    left,     ///< in order: it has drained
    lost,     ///< `error` says how
    refused,  ///< somebody who is no peer; `error` says why. No `peer`
  };
  Kind kind = Kind::arrived;
  PeerId peer = {};
  std::string address;  ///< where it is, for people
  Error error;
};

struct FabricOptions {
  /// How far connections may come from.
  enum class Reach { this_host, network };

  FabricToken token;
  std::uint64_t layout_hash = 0;  ///< of the arena's vectors, and its peers'
  std::string listen;             ///< where peers connect to; empty: anywhere on this host
  Reach reach = Reach::this_host;
  std::chrono::milliseconds lost_after{10'000};  ///< without a sign of life
  std::uint32_t most_peers = 60;
  /// This fabric writes to the arena's mailboxes under this number, its peers on the same host under
  /// those that follow, `most_peers` of them: nobody else bears one of these.
  SenderId first_sender = kMostSenders - 64;
  /// A hash goes along with each read, and what does not match is read again.
  enum class Checksums { off, on } checksums = Checksums::off;
  std::function<void(const PeerEvent&)> on_event = [](const PeerEvent&) {};
};

class Fabric {
 public:
  static constexpr std::size_t kMostInFlight = 1024;  ///< reads, and letters, to a peer at a time

  Fabric() = default;
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;
  /// Ends everything at once; what is under way is told operation_canceled. drain() goes before it
  /// where peers shall not see a loss.
  virtual ~Fabric() = default;

  /// Where peers connect to.
  virtual const std::string& address() const = 0;

  /// @return permission_denied when one of the two does not know the other's token,
  /// protocol_not_supported when they are of different versions or layouts, timed_out, or what the
  /// system says
  virtual Result<PeerId> connect(const std::string& address, Deadline deadline) = 0;

  /// Pins the newest version of a slot of the own arena for one reader (FA-4).
  /// @return no_message_available when nothing was published, resource_unavailable_try_again when
  /// all pin words are taken
  virtual Result<RemoteSlot> announce(std::uint32_t slot, Deadline deadline) = 0;

  /// Reads a peer's slot into a loan of this process.
  /// @param loan  of as many bytes as the remote slot has
  /// @param done  told not_connected, timed_out, no_message_available, invalid_argument (no such
  ///              slot, or of another size), resource_unavailable_try_again (too much under way, no
  ///              pin), illegal_byte_sequence (damaged), operation_canceled
  virtual void read(PeerId peer, const RemoteSlot& from, Loan loan, Deadline deadline,
                    ReadDone done) = 0;

  /// Puts a letter into a mailbox of a peer's arena.
  /// @param done  told no_buffer_space (full), invalid_argument (no such mailbox), timed_out (it may
  ///              have arrived), and the others as read()
  virtual void send(PeerId peer, std::uint32_t mailbox, const Letter& letter, Deadline deadline,
                    SendDone done) = 0;

  /// Calls `ask`, which calls read() or send() and whose thread will wait for the answer: what can be
  /// done for it on that thread is done there. Not from a callback.
  virtual void begin_here(const std::function<void()>& ask) { ask(); }

  /// Takes nothing new, lets what is under way come to its end, and takes leave of the peers.
  /// @return timed_out, naming who was left; nobody is connected any more in either case
  virtual Result<> drain(Deadline deadline) = 0;
};

/// The same as read(), and waits. Not from a callback.
Result<Arrival> read_and_wait(Fabric& fabric, PeerId peer, const RemoteSlot& from, Loan loan,
                              Deadline deadline);
/// The same as send(), and waits. Not from a callback.
Result<> send_and_wait(Fabric& fabric, PeerId peer, std::uint32_t mailbox, const Letter& letter,
                       Deadline deadline);

}  // namespace paceline
