// How one group's process reaches the others: one fabric, over which each has a connection of its own
// to each other. Threading: any thread; connect() and end() from one, the run's.
//   GL-1 What is sent to a group comes in the order of the sends, over all senders (PO-1): one letter is
//        under way at a time, and one that finds the mailbox full is sent again before any other (PO-2).
//   GL-2 The loss of a group is told once, from a thread of the fabric; what is sent to it later goes
//        nowhere.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "paceline/actors/post.h"
#include "paceline/net/fabric_kind.h"

namespace paceline {

class GroupLinks {
 public:
  using OnLoss = std::function<void(std::uint32_t group, const Error& error)>;

  /// @param arena    hosted; its mailbox 0 is where letters come
  /// @param options  but on_event and how many peers there may be
  /// @param groups   how many there are, this one too
  static Result<std::unique_ptr<GroupLinks>> open(FabricKind kind, Arena& arena,
                                                  FabricOptions options, std::uint32_t groups,
                                                  OnLoss on_loss);
  ~GroupLinks();

  const std::string& address() const { return fabric_->address(); }
  Result<> connect(std::uint32_t group, const std::string& address, Deadline deadline);
  bool connected(std::uint32_t group) const;
  /// Letters to a group; before it is connected they wait.
  Outbox& out(std::uint32_t group) const;
  /// Tries again what has found a mailbox full. @return false while something waits for room
  bool flush();
  /// Whether nothing waits and nothing is under way.
  bool quiet() const;
  /// Reads what is newest in a slot of a group's arena, and waits.
  Result<Arrival> read(std::uint32_t group, std::uint32_t slot, Loan loan, Deadline deadline);
  /// Takes leave of all, in order.
  void end(Deadline deadline);

 private:
  class Link;
  explicit GroupLinks(OnLoss on_loss);
  void lost(std::uint32_t group, const Error& error);
  void on_event(const PeerEvent& event);

  const OnLoss on_loss_;
  std::atomic<bool> ending_{false};
  std::vector<std::unique_ptr<Link>> links_;  // by group
  std::unique_ptr<Fabric> fabric_;            // ends first: its callbacks know the links
};

}  // namespace paceline
