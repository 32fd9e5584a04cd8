#include "paceline/actors/run.h"

#include <spdlog/spdlog.h>

#include <thread>

#include "paceline/actors/node_arena.h"
#include "paceline/actors/resume.h"
#include "paceline/actors/ride_internal.h"
#include "paceline/actors/run_context.h"

namespace paceline {

using namespace std::chrono_literals;

void RunControl::suspend(std::chrono::milliseconds within) {
  suspension_.store(Suspension::asked);
  const auto until = std::chrono::steady_clock::now() + within;
  while (suspension_.load() == Suspension::asked && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(5ms);
}

Result<RunSummary> run(caf::actor_system& system, const RunOptions& given, const Network& network,
                       const Data& data, RunControl& control,
                       const std::function<void(const Progress&)>& progress) {
  PACELINE_TRYV(check(given));
  if (given.isolation == Isolation::process && given.worker_command.empty())
    return fail(std::errc::invalid_argument,
                "isolation process without a worker_command: give the program that starts a "
                "worker, as paceline train does");
  RunOptions options = given;
  if (options.resume) PACELINE_TRYV(check_resume(options, network, planned_steps(options, data)));
  if (given.fabric != FabricKind::none && given.group_command.empty())
    return fail(
        std::errc::invalid_argument,
        "a fabric without a group_command: give the program that hosts a group, as paceline "
        "train does");
  const FabricChoice fabric = choose_fabric(options.fabric);
  const bool apart = fabric.kind != FabricKind::none;
  const std::uint64_t planned = planned_steps(options, data);
  PACELINE_TRY(NodeArena node,
               NodeArena::create(options.place(), network.layout().hash(),
                                 apart ? planned_for_group(options.place(), planned, 0) : planned));
  node.words().checkpoint.kept.store(options.checkpoints() || options.resume);
  RunContext context(options, network, data, node.words());
  if (apart) context.only = 0;
  PACELINE_TRYV(prepare(context, options));
  PACELINE_TRY(auto arenas,
               GroupArenas::create(*context.protocol, context.device->math(), network.layout(),
                                   context.place, node.name(), context.state_bytes(),
                                   options.slot_checksums, context.slot_device(), context.only));
  context.arenas = std::make_unique<GroupArenas>(std::move(arenas));
  if (options.resume) put_back(context);
  if (!options.record.empty()) {
    const CourseHead head{network.layout().hash(), data_hash(data), context.place,
                          options.options_text};
    PACELINE_TRY(context.course, CourseWriter::create(options.record, head));
  }
  if (options.pin) spdlog::info("{}", show_shares(context.processors, context.place));
  return Ride(system, context, node, control, progress, fabric).go();
}

}  // namespace paceline
