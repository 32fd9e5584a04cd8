#include "paceline/actors/recorder.h"

#include <spdlog/spdlog.h>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

namespace paceline {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json rank(Rank worker) { return worker == kNobody ? Json(nullptr) : Json(worker); }
const char* word(Scope scope) { return scope == Scope::local ? "local" : "global"; }

struct Recorder {
  static constexpr const char* name = "recorder";

  std::unique_ptr<MetricsFile> file;
  RunContext* context = nullptr;
  Error failure;  // the first

  Json line(const char* event, double t, Address from) const {
    const Place& place = context->place;
    const bool known = from != Address{};
    const bool worker = known && place.role(from) == Role::worker;
    return {{"v", 1},
            {"t", t},
            {"event", event},
            {"node", 0},
            {"group", known && from != place.global() ? Json(place.group(from)) : Json(nullptr)},
            {"worker", worker ? Json(from.index) : Json(nullptr)}};
  }
  void write(const Json& json) {
    if (auto written = file->append(json.dump()); !written) failure = written.error();
  }
  /// Who leads the run: the global leader.
  void elected(const LeaderEvent& e) {
    if (e.rank == kNobody || e.scope != Scope::global) return;
    const Rank before = context->live.leader.exchange(e.rank);
    if (before != kNobody && before != e.rank) context->live.leader_changes.fetch_add(1);
    context->live.leader_score.store(e.score);
  }

  void observe(const Observation& o) {
    std::visit(
        [&](const auto& e) {
          using E = std::decay_t<decltype(e)>;
          if constexpr (std::is_same_v<E, ScoreEvent>) {
            Json json = line("score", o.t, o.from);
            json.update({{"round", e.round}, {"score", number(e.score)}, {"version", e.version}});
            write(json);
          } else if constexpr (std::is_same_v<E, LeaderEvent>) {
            elected(e);
            Json json = line("leader", o.t, o.from);
            json["worker"] = rank(e.rank);
            json.update({{"round", e.round},
                         {"scope", word(e.scope)},
                         {"score", number(e.score)},
                         {"version", e.version},
                         {"final", e.final}});
            write(json);
          } else if constexpr (std::is_same_v<E, PullEvent>) {
            Json json = line("pull", o.t, o.from);
            json.update({{"round", e.round},
                         {"scope", word(e.scope)},
                         {"leader", rank(e.rank)},
                         {"version", e.version},
                         {"staleness", e.staleness},
                         {"skipped", e.skipped}});
            write(json);
          } else if constexpr (std::is_same_v<E, ReadEvent>) {
            context->reads.add(context->place.group(o.from), e);
            Json json = line("read", o.t, o.from);
            json["worker"] =
                context->place.role({e.owner}) == Role::worker ? rank(e.owner) : nullptr;
            json.update({{"round", nullptr},
                         {"for", e.for_group ? "group" : "test"},
                         {"version", e.version},
                         {"bytes", e.bytes},
                         {"retries", e.retries},
                         {"retried_bytes", e.retried_bytes},
                         {"seconds", number(e.seconds)}});
            write(json);
          } else if constexpr (std::is_same_v<E, CheckpointEvent>) {
            Json json = line("checkpoint", o.t, o.from);
            json.update({{"round", nullptr},
                         {"steps", e.steps},
                         {"path", e.path},
                         {"bytes", e.bytes},
                         {"seconds", number(e.seconds)},
                         {"resumed", e.resumed}});
            write(json);
          } else {
            spdlog::warn("{}", e.text);
            Json json = line("fault", o.t, o.from);
            json.update({{"round", e.round}, {"text", e.text}});
            write(json);
          }
        },
        o.event);
  }
  void progressed(const Progressed& p) {
    Json json = line("step", p.t, p.from);
    json.update({{"round", nullptr},
                 {"device", context->turns.of(p.from.index)},
                 {"steps", p.steps},
                 {"loss", number(p.loss)},
                 {"images_per_second", number(p.images_per_second)},
                 {"learning_rate", number(p.learning_rate)}});
    write(json);
  }
  void assessed(const Assessed& a) {
    if (a.failure.code) return;
    if (!a.mean) context->live.test_error.store(a.error);
    Json json = line("evaluate", a.t, Address{});
    json.update({{"round", nullptr},
                 {"of", a.mean ? "mean" : "leader"},
                 {"test_error", number(a.error)},
                 {"test_loss", number(a.loss)},
                 {"cpu_seconds", number(a.cpu_seconds)}});
    write(json);
  }
};

RecorderActor::behavior_type recorder(RecorderActor::stateful_pointer<Recorder> self,
                                      const std::shared_ptr<MetricsFile>& file,
                                      RunContext* context) {
  state(self).file = std::make_unique<MetricsFile>(std::move(*file));
  state(self).context = context;
  return {
      [=](const Observation& o) { state(self).observe(o); },
      [=](const Progressed& p) { state(self).progressed(p); },
      [=](const Assessed& a) { state(self).assessed(a); },
      [=](Flush) {
        Recorder& r = state(self);
        if (auto flushed = r.file->flush(); !flushed) r.failure = flushed.error();
        return r.failure;
      },
  };
}

}  // namespace

RecorderActor spawn_recorder(caf::actor_system& system, MetricsFile file, RunContext* context) {
  return system.spawn<caf::detached>(recorder, std::make_shared<MetricsFile>(std::move(file)),
                                     context);
}

}  // namespace paceline
