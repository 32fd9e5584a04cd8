// What every role that runs on actors has in common: messages go to the directory, slots lie in the
// groups' arenas, events go to the recorder, vectors in the device's memory. WorkerHost and
// ServiceHost add how they wait.
//   AH-1 Once the run is stopping nobody waits any more, and what is missing then is not a fault.
//   AH-2 Memory that cannot be had is an exception, which ends the role and nothing else.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "paceline/actors/role_host.h"
#include "paceline/actors/run_context.h"

namespace paceline {

class ActorHost : public RoleHost {
 public:
  ActorHost(RunContext& context, Address self);
  ~ActorHost() override { abandon(); }  // while there are vectors to copy from (RH-6)

  void send(Address to, const Packet& packet) override;
  void prefetch(SlotRef slot, std::uint64_t at_least) override;
  std::uint64_t newest(SlotRef slot) const override { return context_.newest(slot); }
  Slot slot(std::uint32_t index) override { return context_.arenas->slot({self(), index}); }
  void record(const Event& event) override;
  bool stopping() const override { return context_.budget.stopped(); }
  nanoseconds now() const override;
  double learning_rate() override;

 protected:
  void noted_rate(double rate) override;
  /// The rate of the update behind the gradient that is about to be taken.
  double upcoming_rate() const { return learning_rate_.rate(context_.progress(steps(), 1)); }
  Vector allocate(std::string_view name) override;
  nanoseconds allowed(std::uint64_t steps) override;
  /// Serves a pin at once where it can be; else asks the courier, whose answer carries ticket().
  /// @return whether it was served
  bool pin_or_fetch(PinOp& op);
  std::uint64_t ticket() const { return ticket_; }
  /// Tries again after the courier's answer.
  void pin_fetched(PinOp& op) { op.got = context_.arenas->pin(group(), op.slot, op.at_least); }
  std::uint32_t group() const { return place().group(self()); }

  RunContext& context_;

 private:
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
  const LearningRate learning_rate_;
  std::uint64_t ticket_ = 0;  // of the last request to the courier
  std::optional<StepSummary> slowest_;
  double looked_at_ = 0;  // wall_seconds(), of slowest_
};

}  // namespace paceline
