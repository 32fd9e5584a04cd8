// A course lived again: the roles of a recorded run on one thread, each of whose receives, pins and
// decisions has the outcome that it had. Gradients, updates and what messages and slots hold are
// computed anew, by the real engine. Threading: one thread, that of the Training.
//   RP-1 A role goes on as soon as what it got next is there: in the order of the course where causes
//        allow it, and in any other that they demand. Time plays no part but in words.
//   RP-2 A version of a slot is kept from its publication until the last pin of the course that names
//        it, and as long as that is held: no reader ever keeps a writer waiting.
//   RP-3 A course that does not fit the roles is one error: who, after how many steps, what it asked
//        for and what the course has. Losses and published parameters that differ are told, and the
//        course goes on as long as it fits.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "paceline/actors/course.h"
#include "paceline/actors/role_host.h"
#include "paceline/actors/simulation/training.h"

namespace paceline {

class Replay {
 public:
  /// @param course, training  outlive it; the training's options are the course's
  /// @return an error that names what the course cannot be lived again for
  static Result<Replay> create(const Course& course, Training& training);
  Replay(Replay&&) noexcept;
  Replay& operator=(Replay&&) noexcept;
  ~Replay();

  /// Lives the course to its end.
  Result<> run();

  RoleHost& role(Address who);
  /// Who led in the end, by the course.
  Address leading() const;
  /// What it published last, parameters and buffers; empty if nothing.
  Pin result() const;
  /// The first thing that came out otherwise than in the run, for people; empty: all has the same bits.
  const std::string& difference() const;
  std::uint64_t steps() const;  ///< of all workers
  struct Record {
    Address by;
    Event event;
  };
  /// What roles told, in the order in which they were lived.
  const std::vector<Record>& records() const;
  std::uint64_t count(std::string_view name) const;  ///< summed over the roles

 private:
  class Stage;
  explicit Replay(std::unique_ptr<Stage> stage);
  std::unique_ptr<Stage> stage_;
};

}  // namespace paceline
