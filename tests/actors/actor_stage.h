// A run's actors on CAF's deterministic scheduler: one thread, virtual clock, nothing moves unless
// the test says so. Workers are scheduled actors here, too: their role runs inside their handlers,
// like a leader's.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <caf/scheduler/test_coordinator.hpp>
#include <deque>
#include <memory>
#include <vector>

#include "paceline/actors/courier.h"
#include "paceline/actors/gradient_engine.h"
#include "paceline/actors/run_context.h"
#include "paceline/actors/service.h"

namespace paceline {

class DeterministicSystem {
 public:
  DeterministicSystem() : system_(configured(config_)) {}
  caf::actor_system& system() { return system_; }
  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  }

 private:
  static caf::actor_system_config& configured(caf::actor_system_config& config) {
    config.set("scheduler.policy", caf::atom("testing"));
    return config;
  }
  caf::actor_system_config config_;
  caf::actor_system system_;
};

/// A worker whose role runs in its actor's handlers, with a budget of its own.
class StagedWorker final : public ServiceHost {
 public:
  StagedWorker(RunContext& context, Rank rank, std::unique_ptr<GradientEngine> engine,
               std::uint64_t steps)
      : ServiceHost(context, {rank}), engine_(std::move(engine)), steps_(steps) {}
  bool start(GradientOp& op) override {
    op.loss = engine_->gradient(op.at, op.g, rng());
    return true;
  }
  using ServiceHost::start;
  bool running() override { return steps() < steps_; }

 private:
  std::unique_ptr<GradientEngine> engine_;
  const std::uint64_t steps_;
};

struct RecorderProbe {
  static constexpr const char* name = "recorder";
};

class ActorStage {
 public:
  ActorStage(const Protocol& protocol, Place place, const Settings& settings, const Sgd& sgd)
      : network_(Network::named("cnn7", {3, 28, 28}, 10).value()),
        context_(options_, network_, data_, words_) {
    options_.sgd = sgd;
    options_.patience = 30;  // seconds: there are no seats whose steps would tell
    context_.place = place;
    context_.protocol = &protocol;
    context_.hyper = protocol.hyper(settings, place).value();
    context_.device = open_device("reference", {}).value();
    context_.initial.resize(dimension());
    network_.initialise(context_.initial, 1);
    context_.arenas = std::make_unique<GroupArenas>(
        GroupArenas::create(protocol, context_.device->math(), network_.layout(), place, "stage")
            .value());
    context_.recorder =
        system().spawn([this](RecorderActor::pointer) -> RecorderActor::behavior_type {
          return {[this](const Observation& o) { observed.push_back(o); }, [](const Progressed&) {},
                  [](const Assessed&) {}, [](Flush) { return Error{}; }};
        });
    for (std::uint32_t j = 0; j < place.groups; ++j)
      context_.couriers.push_back(spawn_courier(system(), &context_, j, Placement::scheduled));
    context_.directory.resize(place.roles());
    for (std::uint32_t i = place.workers(); i < place.roles(); ++i)
      if (protocol.kind(place.role({i})))
        context_.directory[i] = spawn_service(
            system(), &services_.emplace_back(context_, Address{i}), Placement::scheduled);
    run();
  }
  ~ActorStage() {
    context_.live.begun.store(0);
    for (const RoleActor& role : context_.directory)
      if (role) caf::anon_send_exit(role, caf::exit_reason::user_shutdown);
    for (const CourierActor& courier : context_.couriers)
      caf::anon_send_exit(courier, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(context_.recorder, caf::exit_reason::user_shutdown);
    run();
    context_.directory.clear();
    for (ServiceHost& host : services_) host.clear();
    for (StagedWorker& host : workers_) host.clear();
  }

  StagedWorker& add_worker(Rank rank, std::unique_ptr<GradientEngine> engine, std::uint64_t steps) {
    StagedWorker& host = workers_.emplace_back(context_, rank, std::move(engine), steps);
    context_.directory[rank] = spawn_service(system(), &host, Placement::scheduled);
    run();
    return host;
  }
  void begin() {
    for (std::uint32_t i = context_.place.roles(); i-- > 0;)
      if (context_.directory[i]) anonymously_tell(context_.directory[i], Begin{});
    run();
  }
  void tell(Address to, const Packet& packet) {
    anonymously_tell(context_.directory[to.index], to_wire(packet));
    run();
  }
  void run() { deterministic_.scheduler().run(); }
  void advance(caf::timespan time) {
    deterministic_.scheduler().advance_time(time);
    run();
  }

  caf::actor_system& system() { return deterministic_.system(); }
  RunContext& context() { return context_; }
  ServiceHost& service(std::size_t i) { return services_[i]; }
  std::size_t dimension() const { return network_.layout().elements; }
  std::vector<Observation> observed;

 private:
  static constexpr std::uint32_t kSeats = 16;
  DeterministicSystem deterministic_;
  RunOptions options_;
  Network network_;
  Data data_;
  alignas(64) std::array<std::byte, RunWords::bytes(kSeats)> board_{};
  RunWords& words_ = RunWords::make(board_, 0, kSeats);  // workers here are services
  RunContext context_;
  std::deque<ServiceHost> services_;
  std::deque<StagedWorker> workers_;
};

}  // namespace paceline
