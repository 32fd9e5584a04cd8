#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "paceline/actors/device_turns.h"
#include "paceline/actors/protocol_settings.h"
#include "paceline/actors/run.h"
#include "paceline/layers/nearest.h"

namespace paceline {
namespace {

template <class... Args>
Error refusal(fmt::format_string<Args...> text, Args&&... args) {
  return fail(std::errc::invalid_argument, text, std::forward<Args>(args)...);
}

bool within(double value, double least, double most) { return value >= least && value <= most; }

// Far above what a machine holds, far below what totals and clocks overflow at.
constexpr std::uint32_t kMostWorkers = 4096;
constexpr unsigned kMostThreads = 4096;
constexpr std::size_t kLargestBatch = 1 << 20;
constexpr std::uint64_t kMostSteps = 1'000'000'000'000;
constexpr double kMostEpochs = 1e6, kMostMinutes = 1e6, kMostSeconds = 1e8;

Result<> check_protocol(const RunOptions& o) {
  if (const Protocol* known = find_protocol(o.protocol)) {
    if (known->simulated_only)
      return refusal("--protocol {} runs in the simulator alone: see paceline lab", o.protocol);
    if (known->sequential && o.workers != 1)
      return refusal("--protocol {} is sequential, and --workers is {}: give 1", o.protocol,
                     o.workers);
    return success();
  }
  std::vector<std::string> names;
  for (const Protocol* protocol : protocols()) names.emplace_back(protocol->name);
  const std::string near = nearest(o.protocol, names);
  return refusal("--protocol {} is not known: {} {}", o.protocol,
                 near.empty() ? "there are" : "did you mean",
                 near.empty() ? fmt::format("{}", fmt::join(names, ", ")) : near);
}

Result<> check_workers(const RunOptions& o) {
  if (o.workers == 0) return refusal("--workers 0 trains nothing: give at least 1");
  if (o.groups == 0) return refusal("--groups 0 holds no worker: give at least 1");
  if (o.workers % o.groups != 0) {
    return refusal("--workers {} do not divide evenly among --groups {}: give {} or {} workers",
                   o.workers, o.groups,
                   std::max(o.workers / o.groups, 1U) * std::uint64_t{o.groups},
                   (o.workers / o.groups + std::uint64_t{1}) * o.groups);
  }
  if (o.workers > kMostWorkers) {
    return refusal("--workers {} is more than {}: give fewer", o.workers, kMostWorkers);
  }
  if (o.max_workers > 0 && o.max_workers < o.workers) {
    return refusal("--max-workers {} is less than --workers {}: give as many or more",
                   o.max_workers, o.workers);
  }
  if (o.max_workers > kMostWorkers) {
    return refusal("--max-workers {} is more than {}: give fewer", o.max_workers, kMostWorkers);
  }
  if (o.deterministic && o.max_workers > o.workers) {
    return refusal(
        "--deterministic contradicts --max-workers {}: the same bits need the same workers: leave "
        "it out",
        o.max_workers);
  }
  if (o.batch == 0 || o.batch > kLargestBatch) {
    return refusal("--batch {} is not from 1 to {}", o.batch, kLargestBatch);
  }
  if (o.threads == 0 || o.threads > kMostThreads) {
    return refusal("--threads {} is not from 1 to {}", o.threads, kMostThreads);
  }
  if (o.decode_threads == 0 || o.decode_threads > kMostThreads) {
    return refusal("--decode-threads {} is not from 1 to {}", o.decode_threads, kMostThreads);
  }
  PACELINE_TRY(const DeviceTurns turns, DeviceTurns::parse(o.device));
  if (turns.count() > std::max(o.workers, o.max_workers)) {
    return refusal("--device {} deals {} devices out over {} worker{}: give fewer, or more workers",
                   o.device, turns.count(), o.workers, o.workers == 1 ? "" : "s");
  }
  return success();
}

bool has_setting(const RunOptions& o, const char* name) {
  return settings_for(*find_protocol(o.protocol), o).contains(name);
}

Result<> check_coordination(const RunOptions& o) {
  if (o.tau == 0) return refusal("--tau 0: pulls are at least 1 step apart");
  if (!has_setting(o, "tau_global")) return success();
  if (o.tau_global < o.tau) {
    return refusal("--tau-global {} is less than --tau {}: give a multiple of it", o.tau_global,
                   o.tau);
  }
  if (o.tau_global % o.tau != 0) {
    return refusal("--tau-global {} is not a multiple of --tau {}: give {}, say", o.tau_global,
                   o.tau, o.tau_global / o.tau * o.tau);
  }
  if (!within(o.pull, 0, 1)) return refusal("--pull {} is not in [0, 1]", o.pull);
  if (!within(o.pull_global, 0, 1)) {
    return refusal("--pull-global {} is not in [0, 1]", o.pull_global);
  }
  if (o.score_window == 0) return refusal("--score-window 0 scores nothing: give at least 1");
  return success();
}

Result<> check_training(const RunOptions& o) {
  const Sgd& sgd = o.sgd;
  if (!std::isfinite(sgd.learning_rate) || sgd.learning_rate < 0) {
    return refusal("--lr {} is not a number above 0", sgd.learning_rate);
  }
  if (!(sgd.momentum >= 0 && sgd.momentum < 1)) {
    return refusal("--momentum {} is not in [0, 1)", sgd.momentum);
  }
  if (!std::isfinite(sgd.weight_decay) || sgd.weight_decay < 0) {
    return refusal("--weight-decay {} is not a number from 0", sgd.weight_decay);
  }
  if (!o.decay_all && sgd.weight_decay == 0) {
    return refusal("--weight-decay-of weights means nothing to --weight-decay 0: leave it out");
  }
  if (!std::isfinite(o.clip_norm) || o.clip_norm < 0) {
    return refusal("--clip-norm {} is not a number above 0", o.clip_norm);
  }
  return success();
}

/// What is never looked at must not seem to decide anything.
Result<> check_schedule(const Schedule& s) {
  if (!(s.warm_up >= 0 && s.warm_up < 1)) {
    return refusal("--lr-warm-up {} is not in [0, 1): 0.05 means 5 % of the run", s.warm_up);
  }
  if (s.annealing != Annealing::steps) {
    const char* name = s.annealing == Annealing::cosine ? "cosine" : "constant";
    if (s.milestones != Schedule{}.milestones) {
      return refusal("--lr-milestones {} mean nothing to --lr-schedule {}: leave them out",
                     fmt::join(s.milestones, ","), name);
    }
    if (s.factor != Schedule{}.factor) {
      return refusal("--lr-factor {} means nothing to --lr-schedule {}: leave it out", s.factor,
                     name);
    }
    return success();
  }
  for (std::size_t i = 0; i < s.milestones.size(); ++i) {
    const double milestone = s.milestones[i];
    if (!(milestone > 0 && milestone < 1)) {
      return refusal("--lr-milestones {} is not in (0, 1): 0.5 means half of the run", milestone);
    }
    if (milestone <= s.warm_up) {
      return refusal("--lr-milestones {} comes before --lr-warm-up {} is over: give a later one",
                     milestone, s.warm_up);
    }
    if (i > 0 && milestone <= s.milestones[i - 1]) {
      return refusal("--lr-milestones {} does not come after {}: give ascending fractions",
                     milestone, s.milestones[i - 1]);
    }
  }
  if (!(s.factor > 0 && s.factor <= 1)) {
    return refusal("--lr-factor {} is not in (0, 1]", s.factor);
  }
  return success();
}

Result<> check_end(const RunOptions& o) {
  if (o.steps > kMostSteps) return refusal("--steps {} is more than {}", o.steps, kMostSteps);
  if (!within(o.epochs, 0, kMostEpochs)) {
    return refusal("--epochs {} is not a number from 0 to {}", o.epochs, kMostEpochs);
  }
  if (!within(o.minutes, 0, kMostMinutes)) {
    return refusal("--minutes {} is not a number from 0 to {}", o.minutes, kMostMinutes);
  }
  const int budgets = (o.steps > 0) + (o.epochs > 0) + (o.minutes > 0);
  if (budgets == 0) return refusal("the run has no end: give --steps, --epochs or --minutes");
  if (budgets > 1) {
    return refusal("--steps, --epochs and --minutes are ends of one run: give one of them");
  }
  if (o.target_error && !(*o.target_error > 0 && *o.target_error < 1)) {
    return refusal("--target-error {} is not in (0, 1): 0.1 means 10 %", *o.target_error);
  }
  if (o.target_error && o.evaluate == Evaluate::after) {
    return refusal(
        "--target-error {} cannot end a run that is tested after it: use --evaluate beside",
        *o.target_error);
  }
  return success();
}

Error refuse_form(const RunOptions& o) {
  static constexpr std::pair<Momentum, const char*> kForms[] = {
      {Momentum::heavy_ball, "heavy-ball"},
      {Momentum::nesterov, "nesterov"},
      {Momentum::none, "none"},
      {Momentum::sutskever, "sutskever"}};
  std::string given;
  std::vector<std::string> taken;
  for (const auto& [form, word] : kForms) {
    if (form == o.sgd.form) given = word;
    if (find_protocol(o.protocol)->takes(form)) taken.emplace_back(word);
  }
  const std::string last = taken.back();
  taken.pop_back();
  return refusal("--momentum-form {} contradicts --protocol {}: give {}{}{}", given, o.protocol,
                 fmt::join(taken, ", "), taken.empty() ? "" : " or ", last);
}

/// What differs from its default and means nothing to the protocol was meant for another one.
Result<> check_meaning(const RunOptions& o) {
  const Settings given = coordination_settings(o), usual = coordination_settings(RunOptions{});
  const Settings known = settings_for(*find_protocol(o.protocol), o);
  if (!find_protocol(o.protocol)->takes(o.sgd.form)) {
    return refuse_form(o);
  }
  for (const auto& [name, value] : given) {
    if (value == usual.at(name) || known.contains(name) || name == "lockstep") continue;
    std::string option = name;
    std::ranges::replace(option, '_', '-');
    return refusal("--{} {} means nothing to --protocol {}: leave it out", option, value,
                   o.protocol);
  }
  return success();
}

/// What the command line calls it.
std::string option_of(std::string name) {
  if (name == "lockstep") return "--deterministic";
  std::ranges::replace(name, '_', '-');
  return "--" + name;
}

/// A setting is given in one way: by its option, or by --set.
Result<> check_set(const RunOptions& o) {
  const Protocol& protocol = *find_protocol(o.protocol);
  const Settings options = coordination_settings(o);
  std::vector<std::string> own, others;
  for (const std::string& name : protocol.setting_names())
    (options.contains(name) ? others : own)
        .push_back(options.contains(name) ? option_of(name) : name);
  for (const auto& [key, value] : o.set) {
    if (options.contains(key)) {
      return refusal("--set {}={}: it has an option of its own: give {}", key, value,
                     option_of(key));
    }
    if (std::ranges::find(own, key) != own.end()) continue;
    return refusal("--set {}={}: --protocol {} has no such setting: it has {}{}", key, value,
                   o.protocol,
                   own.empty() ? "none of its own" : fmt::format("{}", fmt::join(own, ", ")),
                   others.empty() ? "" : fmt::format(" (and {})", fmt::join(others, ", ")));
  }
  if (const auto taken = protocol.hyper(settings_for(protocol, o), o.place()); !taken) {
    return refusal("--protocol {}: {}", o.protocol, taken.error().message);
  }
  return success();
}

/// The same bits ask for the same steps in the same order: nothing may depend on a clock.
Result<> check_determinism(const RunOptions& o) {
  if (!o.deterministic) return success();
  const bool by_lockstep = has_setting(o, "lockstep");
  if (!by_lockstep && !find_protocol(o.protocol)->repeatable) {
    return refusal(
        "--deterministic contradicts --protocol {}, whose order of events is the machine's: leave "
        "it out",
        o.protocol);
  }
  if (by_lockstep && o.mode != Mode::barrier) {
    return refusal("--deterministic contradicts --mode nonblocking: add --mode barrier");
  }
  if (o.minutes > 0) {
    return refusal("--deterministic contradicts --minutes {}, a clock: give --steps or --epochs",
                   o.minutes);
  }
  if (o.target_error) {
    return refusal(
        "--deterministic contradicts --target-error {}, which ends by a clock: leave it out",
        *o.target_error);
  }
  return success();
}

Result<> check_checkpoints(const RunOptions& o) {
  if (o.keep_checkpoints == 0) {
    return refusal("--keep-checkpoints 0 keeps none: give at least 1, or --checkpoint-every 0");
  }
  if (!within(o.checkpoint_seconds, 0, kMostSeconds)) {
    return refusal("--checkpoint-every {}s is not from 0 to {}s", o.checkpoint_seconds,
                   kMostSeconds);
  }
  if (o.checkpoint_steps > kMostSteps) {
    return refusal("--checkpoint-every {} is more than {} steps", o.checkpoint_steps, kMostSteps);
  }
  if (!o.deterministic) return success();
  // There nothing is on its way: what goes on takes the same steps.
  const std::uint64_t settled = settled_every(*find_protocol(o.protocol), o);
  const std::string multiple = has_setting(o, "tau_global")
                                   ? fmt::format("--tau-global {}", settled)
                               : settled > 1 ? fmt::format("--tau {}", settled)
                                             : "1 step";
  if (o.checkpoint_seconds > 0) {
    return refusal(
        "--deterministic contradicts --checkpoint-every {}s, a clock: give steps of a worker, a "
        "multiple of {}",
        o.checkpoint_seconds, multiple);
  }
  if (o.checkpoint_steps % settled != 0) {
    return refusal(
        "--checkpoint-every {} is not a multiple of {}, as --deterministic needs: give {}, say",
        o.checkpoint_steps, multiple, (o.checkpoint_steps / settled + 1) * settled);
  }
  return success();
}

/// What is recorded can be lived again in one process, on the processor, from the beginning.
Result<> check_record(const RunOptions& o) {
  if (o.record.empty()) return success();
  if (o.isolation == Isolation::process) {
    return refusal("--record {} contradicts --isolation process: give --isolation thread",
                   o.record.string());
  }
  if (o.device != "cpu" && o.device != "reference") {
    return refusal("--record {} contradicts --device {}: give --device cpu", o.record.string(),
                   o.device);
  }
  if (o.fabric != FabricKind::none) {
    return refusal("--record {} contradicts --fabric {}: one process has to see all that happens",
                   o.record.string(), word_of(o.fabric));
  }
  if (o.resume) {
    return refusal("--record {} contradicts --resume: a course begins with the run: leave it out",
                   o.record.string());
  }
  return success();
}

/// What groups that are processes of their own cannot do yet.
Result<> check_fabric(const RunOptions& o) {
  const std::string& name = word_of(o.fabric);
  if (o.fabric == FabricKind::none) {
    if (o.fabric_address.empty()) return success();
    return refusal("--fabric-address {} means nothing without --fabric: add --fabric tcp, say",
                   o.fabric_address);
  }
  constexpr std::uint32_t kMostGroups = 30;
  if (o.groups < 2)
    return refusal("--fabric {} has nothing to connect with --groups {}: give 2 groups or more",
                   name, o.groups);
  if (o.groups > kMostGroups)
    return refusal("--fabric {} connects at most {} groups, not {}: give fewer", name, kMostGroups,
                   o.groups);
  if (o.protocol != "lsgd")
    return refusal("--fabric {} is for --protocol lsgd alone as yet, not {}: leave it out", name,
                   o.protocol);
  if (o.checkpoints() || o.resume)
    return refusal("--fabric {} has no checkpoints yet: leave --checkpoint-every and --resume out",
                   name);
  if (o.max_workers > o.workers)
    return refusal("--fabric {} keeps its workers, so far: leave --max-workers {} out", name,
                   o.max_workers);
  if (o.slot_memory == SlotMemory::device)
    return refusal(
        "--fabric {} reads slots in the host's memory alone as yet: leave --slot-memory "
        "device out",
        name);
  if (o.fabric == FabricKind::shared_memory && !o.fabric_address.empty())
    return refusal("--fabric-address {} means nothing to --fabric shared_memory: leave it out",
                   o.fabric_address);
  return success();
}

}  // namespace

Result<> check(const RunOptions& options) {
  PACELINE_TRYV(check_protocol(options));
  PACELINE_TRYV(check_workers(options));
  PACELINE_TRYV(check_coordination(options));
  PACELINE_TRYV(check_training(options));
  PACELINE_TRYV(check_schedule(options.schedule));
  PACELINE_TRYV(check_end(options));
  PACELINE_TRYV(check_determinism(options));
  PACELINE_TRYV(check_meaning(options));
  PACELINE_TRYV(check_set(options));
  PACELINE_TRYV(check_checkpoints(options));
  PACELINE_TRYV(check_record(options));
  PACELINE_TRYV(check_fabric(options));
  if (!(options.evaluate_every > 0 && options.evaluate_every <= kMostSeconds)) {
    return refusal("--evaluate-every {} is not a number of seconds above 0, up to {}",
                   options.evaluate_every, kMostSeconds);
  }
  if (options.slot_memory == SlotMemory::device && options.slot_checksums) {
    return refusal(
        "--slot-checksums contradicts --slot-memory device: they are of bytes that the host sees: "
        "give "
        "--slot-memory host, or leave one of them out");
  }
  if (!within(options.patience, 0, kMostSeconds)) {
    return refusal("--patience {} is neither auto nor a number of seconds above 0, up to {}",
                   options.patience, kMostSeconds);
  }
  if (!(options.begin_within > 0 && options.begin_within <= kMostSeconds)) {
    return refusal("--begin-within {} is not a number of seconds above 0, up to {}",
                   options.begin_within, kMostSeconds);
  }
  return success();
}

}  // namespace paceline
