// One connection to a peer, whatever road it takes: handshake, letters, signs of life, farewell.
// Private to net/. Threading: the I/O thread.
//   CN-1 Before the handshake has ended well nothing but its own frames is looked at, and nothing of
//        the arena is told (FA-5).
//   CN-2 Owner::on_open() comes at most once, on_closed() exactly once unless close() was called, and
//        after that nothing.
//   CN-3 A sign of life counts from the next tick on, a quarter of `lost_after` later at most: the
//        clock is not read for each.
#pragma once

#include <memory>
#include <string>

#include "paceline/net/handshake_internal.h"
#include "paceline/net/peers/letters_under_way_internal.h"
#include "paceline/net/peers/road_internal.h"

namespace paceline {

class Connection final : public std::enable_shared_from_this<Connection>, private Road::Owner {
 public:
  enum class Side { initiator, responder };
  enum class End { left, lost, refused };

  class Owner {
   public:
    /// What a peer that has proved itself is told.
    virtual Welcome welcome(PeerId peer) = 0;
    /// @return an error to refuse it by
    virtual Result<> on_open(Connection& connection, const Welcome& peers) = 0;
    /// @param how  refused: it was never open
    virtual void on_closed(Connection& connection, End how, const Error& error) = 0;

   protected:
    ~Owner() = default;
  };

  struct Setting {  ///< of all connections of a fabric; outlives them
    const Arena& arena;
    const FabricOptions& options;
    Owner& owner;
  };

  /// @param greeted_by  the handshake's deadline
  Connection(const Setting& setting, std::unique_ptr<Road> road, Side side, PeerId peer,
             std::string address, Deadline greeted_by);
  ~Connection();
  void start();

  PeerId peer() const { return peer_; }
  const std::string& address() const { return address_; }
  int descriptor() const { return road_->descriptor(); }
  bool is_open() const { return state_ == State::open; }
  /// Nothing that was asked for, by either side, is under way.
  bool is_idle() const { return letters_.empty() && !road_->has_reads(); }
  Road& road() { return *road_; }
  LettersUnderWay& letters() { return letters_; }
  /// The reader, who is here, needs that pin no longer.
  void release(std::uint64_t ticket);
  /// Refuses who asks too much of this side.
  void refuse(RefusalReason reason);
  /// Takes leave; on_closed(left) follows when the peer has heard it.
  void say_goodbye();
  /// At once; what is under way is told `error`, the owner nothing.
  void close(const Error& error);

  /// Does what is due. @return when next
  Deadline tick(Deadline now);
  /// This process itself was not running: nobody's silence counts.
  void forgive_silence(Deadline now) {
    heard_ = false;
    last_heard_ = now;
  }

 private:
  enum class State { greeting, open, leaving, closed };

  Result<> on_frame(const Frame& frame) override;
  void on_sign_of_life() override { heard_ = true; }
  void on_end(const Error& error) override;

  Result<> greet(const Frame& frame);
  Result<> take(const Frame& frame);
  void end(End how, const Error& error);
  void end_requests(const Error& error);
  std::string words(Deadline now) const;

  const Setting setting_;
  const Side side_;
  const PeerId peer_;
  const std::string address_;
  const std::unique_ptr<Road> road_;
  LettersUnderWay letters_;
  State state_ = State::greeting;
  const Deadline greeted_by_;
  Initiator initiator_;
  Responder responder_;
  bool challenged_ = false, proved_ = false;
  bool heard_ = false;  // since the last tick
  Deadline last_heard_, last_pulse_;
};

}  // namespace paceline
