#include "paceline/actors/evaluator.h"

#include <algorithm>
#include <deque>
#include <exception>
#include <memory>
#include <utility>

#include "paceline/layers/network_file.h"
#include "paceline/layers/safetensors.h"

namespace paceline {
Evaluator::Evaluator(RunContext& context)
    : context_(context), flat_(context.network.layout().all_elements()) {}

Result<Assessed> Evaluator::leader(Address leader, double t) {
  PACELINE_TRYV(copy_leader(leader));
  return evaluate(t, false);
}

Result<Assessed> Evaluator::mean(double t) {
  PACELINE_TRYV(copy_mean());
  return evaluate(t, true);
}

Result<> Evaluator::checkpoint(Address leader) {
  PACELINE_TRYV(copy_leader(leader));
  const Result<> completed = complete();
  if (!completed) {
    const auto parameters = static_cast<std::ptrdiff_t>(context_.network.layout().elements);
    std::copy(context_.initial.begin() + parameters, context_.initial.end(),
              flat_.begin() + parameters);
  }
  PACELINE_TRYV(write(context_.options.directory / "leader.safetensors"));
  return completed;
}

Result<> Evaluator::snapshot(Address leader, double t) {
  const std::filesystem::path folder = context_.options.directory / "snapshots";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    return Error{error, fmt::format("cannot create {}: {}", folder.string(), error.message())};
  for (const bool of_mean : {false, true}) {
    const Result<> copied = of_mean ? copy_mean() : copy_leader(leader);
    if (!copied && of_mean && copied.error().code == std::errc::resource_unavailable_try_again)
      continue;  // a centre's workers
    PACELINE_TRYV(copied);
    const auto path = folder / fmt::format("{:05}-{}.safetensors", snapshots_.size(),
                                           of_mean ? "mean" : "leader");
    PACELINE_TRYV(write(path));
    snapshots_.push_back({t, of_mean, complete_, path});
  }
  return success();
}

Result<Assessed> Evaluator::evaluate(const Snapshot& snapshot) {
  PACELINE_TRY(flat_, read_safetensors(snapshot.path, context_.network.layout()));
  complete_ = snapshot.complete;
  std::error_code ignored;
  std::filesystem::remove(snapshot.path, ignored);
  std::filesystem::remove(snapshot.path.parent_path(), ignored);  // once it is empty
  return evaluate(snapshot.t, snapshot.mean);
}

Result<> Evaluator::copy_leader(Address leader) {
  const auto pin = context_.arenas->read({leader, kParameters});
  if (!pin)  // not now: the run goes on without a test
    return fail(std::errc::resource_unavailable_try_again, "{}", pin.error().message);
  context_.device->math().copy(flat(), {pin.value().bytes().data(), flat_.size()});
  complete_ = context_.place.role(leader) == Role::worker;
  return success();
}

Result<> Evaluator::copy_mean() {
  const VectorMath& math = context_.device->math();
  std::vector<Pin> pins;
  std::deque<std::vector<float>> carried;  // from other processes' groups
  std::vector<ConstVector> vectors;
  for (Rank r = 0; r < context_.place.seats(); ++r) {
    // Nobody's parameters, and those of one that was given up, which stand still.
    if (context_.words.seat(r).vacant.load() || context_.words.seat(r).lost.load()) continue;
    auto pin = context_.arenas->read({context_.place.worker(r), kParameters});
    if (!pin) continue;  // a worker that never came to publish has no say
    const ConstVector there(pin.value().bytes().data(), context_.network.layout().elements);
    if (context_.hosts({r})) {
      vectors.push_back(there);
      pins.push_back(std::move(pin).value());
    } else {
      std::vector<float>& kept = carried.emplace_back(flat_.size());
      math.copy({kept.data(), kept.size()}, {there.data, kept.size()});
      vectors.emplace_back(kept.data(), there.count);
    }
  }
  if (vectors.empty())
    return fail(std::errc::resource_unavailable_try_again, "no worker has published anything yet");
  math.mean({flat_.data(), context_.network.layout().elements}, vectors);
  complete_ = vectors.size() == 1;
  if (complete_) math.copy(flat(), {vectors[0].data, flat_.size()});
  return success();
}

/// Buffers for what has none.
Result<> Evaluator::complete() {
  if (complete_ || context_.network.layout().buffer_elements == 0) return success();
  PACELINE_TRYV(context_.data.usable());
  PACELINE_TRYV(prepare());
  StreamOptions stream = context_.stream(context_.place.seats());  // one worker's more
  ++stream.workers;
  stream.sampling = Sampling::shuffled;
  const auto parameters = static_cast<std::ptrdiff_t>(context_.network.layout().elements);
  std::fill(flat_.begin() + parameters, flat_.end(), 0.0F);  // no share of what is not finite is 0
  try {
    device_->math().copy(on_device(), flat());
    tester_->estimate_buffers(on_device(), stream);
    device_->math().copy(flat(), on_device());
  } catch (const std::exception& error) {
    return fail(std::errc::not_enough_memory, "cannot estimate running statistics: {}",
                error.what());
  }
  PACELINE_TRYV(context_.data.usable());
  complete_ = true;
  return success();
}

Result<> Evaluator::prepare() {
  if (tester_) return success();
  PACELINE_TRY(device_,
               context_.turns.open(context_.turns.of(0),
                                   {.threads = 1, .precision = context_.options.precision}));
  PACELINE_TRY(flat_on_device_, device_->allocate(device_->math().bytes(flat_.size())));
  PACELINE_TRY(tester_, Tester::create(*device_, context_.network, context_.data,
                                       context_.options.deterministic));
  return success();
}

Result<> Evaluator::write(const std::filesystem::path& path) const {
  return write_safetensors(path, context_.network.layout(), flat_,
                           checkpoint_metadata(context_.network, context_.data));
}

Result<Assessed> Evaluator::evaluate(double t, bool mean) {
  PACELINE_TRYV(prepare());
  PACELINE_TRYV(complete());
  device_->math().copy(on_device(), flat());
  const Evaluation sum = tester_->test(on_device());
  Assessed result;
  result.mean = mean;
  result.t = t;
  result.error = static_cast<double>(sum.errors) / static_cast<double>(sum.images);
  result.loss = sum.loss_sum / static_cast<double>(sum.images);
  return result;
}

namespace {

struct EvaluatorState {
  static constexpr const char* name = "evaluator";
  std::unique_ptr<Evaluator> evaluator;
};

EvaluatorActor::behavior_type evaluator(EvaluatorActor::stateful_pointer<EvaluatorState> self,
                                        RunContext* context, const caf::actor& run) {
  state(self).evaluator = std::make_unique<Evaluator>(*context);
  return {[=](const Assess& assess) {
    lower_thread_priority();
    Evaluator& e = *state(self).evaluator;
    double since = thread_cpu_seconds();
    const auto tell_run = [&](Assessed assessed, bool last) {
      const double now = thread_cpu_seconds();
      assessed.cpu_seconds = now - std::exchange(since, now);
      assessed.what = assess.what;
      assessed.last = last;
      anonymously_tell(run, assessed);
      return assessed;
    };
    const auto answer = [&](Result<Assessed> result, bool last) {
      Assessed assessed;
      if (result)
        tell(self, context->recorder, tell_run(std::move(result).value(), last));
      else
        assessed.failure = result.error(), tell_run(assessed, last);
    };
    try {
      switch (assess.what) {
        case Assess::What::prepare: {
          Assessed prepared;
          prepared.what = assess.what;
          if (const auto ready = e.prepare(); !ready) prepared.failure = ready.error();
          anonymously_tell(run, prepared);  // no evaluation: its time is not counted
          return;
        }
        case Assess::What::leader:
          return answer(e.leader(assess.leader, assess.t), true);
        case Assess::What::mean:
          return answer(e.mean(assess.t), true);
        case Assess::What::checkpoint:
        case Assess::What::snapshot: {
          Assessed saved;
          const auto written = assess.what == Assess::What::checkpoint
                                   ? e.checkpoint(assess.leader)
                                   : e.snapshot(assess.leader, assess.t);
          if (!written) saved.failure = written.error();
          tell_run(saved, true);
          return;
        }
        case Assess::What::snapshots:
          for (const Evaluator::Snapshot& s : e.snapshots()) answer(e.evaluate(s), false);
          tell_run({}, true);
      }
    } catch (const std::exception& error) {
      Assessed failed;
      failed.failure = fail(std::errc::not_enough_memory, "the evaluator: {}", error.what());
      tell_run(failed, true);
    }
  }};
}

}  // namespace

EvaluatorActor spawn_evaluator(caf::actor_system& system, RunContext* context,
                               const caf::actor& run) {
  return system.spawn<caf::detached>(evaluator, context, run);
}

std::map<std::string, std::string> checkpoint_metadata(const Network& network, const Data& data) {
  const Shape image = network.image();
  Metadata metadata{{"network", network.name()},
                    {"data", data.name},
                    {"classes", std::to_string(network.classes())},
                    {"image", fmt::format("{}x{}x{}", image.height, image.width, image.channels)}};
  const NetworkDescription& description = network.description();
  if (!description.file.empty()) metadata["layers"] = network_text(description);
  return metadata;
}

}  // namespace paceline
