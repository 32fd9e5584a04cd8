// Letters that were sent to a peer and not answered yet. Private to net/. Threading: the I/O thread.
//   LW-1 Whatever was taken leaves by its callback, once (FA-1).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "paceline/net/peers/road_internal.h"

namespace paceline {

class LettersUnderWay {
 public:
  explicit LettersUnderWay(Road& road) : road_(road) {}

  void send(std::uint32_t mailbox, const Letter& letter, Deadline deadline, SendDone done);
  /// @return an error: no correct peer says this
  Result<> on(const LetterAnswer& frame);
  bool empty() const { return letters_.empty(); }
  /// @param peer  for the error: who it is, and its last sign of life
  /// @return the next deadline, if there is one
  std::optional<Deadline> expire(Deadline now, const std::string& peer);
  void end_all(const Error& error);

 private:
  struct UnderWay {
    Deadline deadline;
    SendDone done;
  };

  Road& road_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, UnderWay> letters_;
};

}  // namespace paceline
