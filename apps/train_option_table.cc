// The rows of `paceline train`'s options, in the order of help and of config.ini.
#include "paceline/apps/train_option_table_internal.h"

#include <map>
#include <optional>
#include <utility>

#include "paceline/apps/option_value.h"
#include "paceline/apps/precision_words.h"
#include "paceline/layers/network_file.h"

namespace paceline {
namespace {

Row target_error() {
  return {{"target-error", "E", "end early once the leader's test error is at most E, in (0, 1)"},
          [](TrainOptions& o, const std::string& given) -> Result<> {
            PACELINE_TRY(o.run.target_error, parse_real(given));
            return success();
          },
          [](const TrainOptions& o) -> std::optional<std::string> {
            if (!o.run.target_error) return std::nullopt;
            return show_real(*o.run.target_error);
          }};
}

Row milestones() {
  return {{"lr-milestones", "F,...",
           "ascending fractions of the run, for --lr-schedule steps (default 0.5,0.75)"},
          [](TrainOptions& o, const std::string& given) -> Result<> {
            std::vector<double>& milestones = o.run.schedule.milestones;
            milestones.clear();
            for (std::size_t from = 0; from <= given.size();) {
              const std::size_t comma = std::min(given.find(',', from), given.size());
              PACELINE_TRY(const double value, parse_real(given.substr(from, comma - from)));
              milestones.push_back(value);
              from = comma + 1;
            }
            return success();
          },
          [](const TrainOptions& o) -> std::optional<std::string> {
            std::string text;
            for (const double milestone : o.run.schedule.milestones)
              text += (text.empty() ? "" : ",") + show_real(milestone);
            return text;
          }};
}

/// Shown where the schedule looks at it.
Row of_steps(Row row) {
  row.show = [show = row.show](const TrainOptions& o) {
    return o.run.schedule.annealing == Annealing::steps ? show(o) : std::nullopt;
  };
  return row;
}

Row patience() {
  static constexpr const char* kAuto = "auto";  // 0 in the field
  return {{"patience", "S|auto",
           "seconds that anyone waits for anybody; auto: by how long steps were seen to take"},
          [](TrainOptions& o, const std::string& given) -> Result<> {
            if (given == kAuto) {
              o.run.patience = 0;
              return success();
            }
            PACELINE_TRY(o.run.patience, parse_positive(given));
            return success();
          },
          [](const TrainOptions& o) -> std::optional<std::string> {
            return o.run.patience == 0 ? kAuto : show_real(o.run.patience);
          }};
}

Row augment() {
  return word("augment", "crop and mirror training images at random",
              std::vector<std::pair<std::string, bool>>{{"on", true}, {"off", false}},
              PACELINE_FIELD(run.augment));
}

Row set() {
  return {{"set", "KEY=V[;KEY=V]",
           "the protocol's settings that have no option here: see paceline protocols"},
          [](TrainOptions& o, const std::string& given) -> Result<> {
            PACELINE_TRYV(check_ini_text(given));
            PACELINE_TRY(o.run.set, parse_settings(given));
            return success();
          },
          [](const TrainOptions& o) -> std::optional<std::string> {
            if (o.run.set.empty()) return std::nullopt;
            return show_settings(o.run.set);
          }};
}

/// "10m", "90s", "2h", or steps of each worker.
Row checkpoint_every() {
  return {
      {"checkpoint-every", "T|N",
       "seconds (90s), minutes (10m) or hours (2h) of training, or steps of a worker (500), from "
       "one checkpoint to the next, and one at the end; 0: none (default: none)"},
      [](TrainOptions& o, const std::string& given) -> Result<> {
        o.run.checkpoint_seconds = 0;
        o.run.checkpoint_steps = 0;
        static const std::map<char, double> kUnits{{'s', 1}, {'m', 60}, {'h', 3600}};
        const auto unit = given.empty() ? kUnits.end() : kUnits.find(given.back());
        if (unit == kUnits.end()) {
          const auto steps = parse_count(given);
          if (!steps)
            return fail(std::errc::invalid_argument,
                        "'{}' is neither a time such as 90s, 10m or 2h nor a number of steps",
                        given);
          o.run.checkpoint_steps = steps.value();
          return success();
        }
        PACELINE_TRY(const double time, parse_positive(given.substr(0, given.size() - 1)));
        o.run.checkpoint_seconds = time * unit->second;
        return success();
      },
      [](const TrainOptions& o) -> std::optional<std::string> {
        if (o.run.checkpoint_steps > 0) return std::to_string(o.run.checkpoint_steps);
        if (o.run.checkpoint_seconds > 0) return show_real(o.run.checkpoint_seconds) + "s";
        return std::nullopt;
      }};
}

}  // namespace

const std::vector<Row>& train_option_table() {
  static const std::vector<Row> rows = {
      text("data", "SPEC",
           "synthetic[:seed=N,train=N,test=N], or a folder of CIFAR-10 or IDX files or of "
           "train/CLASS/*.jpg|png and val/CLASS/* (cifar10:DIR, mnist:DIR, fashion-mnist:DIR, "
           "images:DIR insist on the kind)",
           PACELINE_FIELD(data)),
      text("network", "NAME|FILE.net",
           fmt::format("the network: {}, or a file: see paceline inspect",
                       fmt::join(named_networks(), ", ")),
           PACELINE_FIELD(network)),
      above_zero(
          count("image-size",
                "height and width of image files, for networks that do not crop (default: the "
                "network's)",
                PACELINE_FIELD(image_size)),
          PACELINE_FIELD(image_size)),
      count("decode-threads", "threads of each worker that decode image files",
            PACELINE_FIELD(run.decode_threads)),
      text("protocol", "NAME", "how workers coordinate: lsgd, easgd, ...: see paceline protocols",
           PACELINE_FIELD(run.protocol)),
      word("mode", "whether workers wait for each other when they coordinate",
           std::vector<std::pair<std::string, Mode>>{{"barrier", Mode::barrier},
                                                     {"nonblocking", Mode::nonblocking}},
           PACELINE_FIELD(run.mode)),
      count("groups", "groups of workers, each with a leader of its own",
            PACELINE_FIELD(run.groups)),
      count("workers", "workers in all groups together", PACELINE_FIELD(run.workers)),
      above_zero(count("max-workers",
                       "how many there may be when paceline workers adds some (default: twice "
                       "--workers)",
                       PACELINE_FIELD(run.max_workers)),
                 PACELINE_FIELD(run.max_workers)),
      count("batch", "images of one worker's step", PACELINE_FIELD(run.batch)),
      above_zero(real("lr", "RATE", "learning rate (default: the network's)",
                      PACELINE_FIELD(run.sgd.learning_rate)),
                 PACELINE_FIELD(run.sgd.learning_rate)),
      word("lr-schedule",
           "the rate over the run: as it is, times --lr-factor at each milestone, or half a cosine "
           "down to 0",
           std::vector<std::pair<std::string, Annealing>>{{"constant", Annealing::constant},
                                                          {"steps", Annealing::steps},
                                                          {"cosine", Annealing::cosine}},
           PACELINE_FIELD(run.schedule.annealing)),
      off_at_zero(real("lr-warm-up", "F",
                       "fraction of the run in which the rate grows from 0 (default: none)",
                       PACELINE_FIELD(run.schedule.warm_up)),
                  PACELINE_FIELD(run.schedule.warm_up)),
      of_steps(milestones()),
      of_steps(real("lr-factor", "C", "what a milestone multiplies the rate by (default 0.1)",
                    PACELINE_FIELD(run.schedule.factor))),
      real("momentum", "M", "in [0, 1)", PACELINE_FIELD(run.sgd.momentum)),
      word("momentum-form", "how momentum enters a step",
           std::vector<std::pair<std::string, Momentum>>{{"none", Momentum::none},
                                                         {"heavy-ball", Momentum::heavy_ball},
                                                         {"nesterov", Momentum::nesterov},
                                                         {"sutskever", Momentum::sutskever}},
           PACELINE_FIELD(run.sgd.form)),
      real("weight-decay", "W", "added to the gradient: g += W x",
           PACELINE_FIELD(run.sgd.weight_decay)),
      word("weight-decay-of", "all parameters, or weights alone: no biases, no BatchNorms",
           std::vector<std::pair<std::string, bool>>{{"all", true}, {"weights", false}},
           PACELINE_FIELD(run.decay_all)),
      above_zero(real("clip-norm", "X", "scale longer gradients down to X (default: none)",
                      PACELINE_FIELD(run.clip_norm)),
                 PACELINE_FIELD(run.clip_norm)),
      off_at_zero(real("label-smoothing", "X",
                       "share of a label that is spread over all classes (default: none)",
                       PACELINE_FIELD(label_smoothing)),
                  PACELINE_FIELD(label_smoothing)),
      count("tau", "steps between pulls to the group's leader", PACELINE_FIELD(run.tau)),
      count("tau-global", "steps between pulls to the global leader: a multiple of --tau",
            PACELINE_FIELD(run.tau_global)),
      real("pull", "C", "towards the group's leader, x -= C (x - z), in [0, 1]",
           PACELINE_FIELD(run.pull)),
      real("pull-global", "C", "towards the global leader, in [0, 1]",
           PACELINE_FIELD(run.pull_global)),
      count("score-window", "batches whose mean loss is a worker's score",
            PACELINE_FIELD(run.score_window)),
      count("staleness", "versions that a leader may be behind before its pull is skipped",
            PACELINE_FIELD(run.staleness)),
      set(),
      above_zero(count("steps", "end after N steps a worker: N x workers in all",
                       PACELINE_FIELD(run.steps)),
                 PACELINE_FIELD(run.steps)),
      above_zero(real("epochs", "E", "end after E times the training set, over all workers",
                      PACELINE_FIELD(run.epochs)),
                 PACELINE_FIELD(run.epochs)),
      above_zero(real("minutes", "M", "end after M minutes of training (without a budget: 1)",
                      PACELINE_FIELD(run.minutes)),
                 PACELINE_FIELD(run.minutes)),
      target_error(),
      count("seed", "of everything that is drawn", PACELINE_FIELD(run.seed)),
      flag("deterministic",
           "the same seed gives the same bits, where rounds decide the order of all: with --mode "
           "barrier, where there are modes",
           PACELINE_FIELD(run.deterministic)),
      word("evaluate", "test beside the training, or after it on snapshots",
           std::vector<std::pair<std::string, Evaluate>>{{"beside", Evaluate::beside},
                                                         {"after", Evaluate::after}},
           PACELINE_FIELD(run.evaluate)),
      real("evaluate-every", "S", "seconds of training between tests",
           PACELINE_FIELD(run.evaluate_every)),
      word("sampling", "each worker sees the whole set, or its share",
           std::vector<std::pair<std::string, Sampling>>{{"shuffled", Sampling::shuffled},
                                                         {"sharded", Sampling::sharded}},
           PACELINE_FIELD(run.sampling)),
      augment(),
      word("isolation", "what a worker is: a thread, or a process that may die alone",
           std::vector<std::pair<std::string, Isolation>>{{"thread", Isolation::thread},
                                                          {"process", Isolation::process}},
           PACELINE_FIELD(run.isolation)),
      word("fabric",
           "make each group a process, which the others reach over this alone; none: one process "
           "holds all groups",
           fabric_words(), PACELINE_FIELD(run.fabric)),
      off_when_empty(text("fabric-address", "A,...",
                          "where each group listens, by group, the last for all that follow: the "
                          "network must be yours alone (default: on this host)",
                          PACELINE_FIELD(run.fabric_address)),
                     PACELINE_FIELD(run.fabric_address)),
      count("threads", "cores of one worker's engine", PACELINE_FIELD(run.threads)),
      flag("pin", "keep each worker to cores of its own, spread over the machine",
           PACELINE_FIELD(run.pin)),
      text("device", "NAME[,NAME...]",
           "what computes: cpu, cuda or reference (see paceline doctor); several are dealt out "
           "over the "
           "workers in turn",
           PACELINE_FIELD(run.device)),
      word("precision", "what a GPU multiplies in; parameters and sums are f32 in each",
           precision_words(), PACELINE_FIELD(run.precision)),
      patience(),
      real("begin-within", "S", "seconds that a worker may take to build its engine",
           PACELINE_FIELD(run.begin_within)),
      count("restarts", "how often a worker that ends before its time is replaced",
            PACELINE_FIELD(run.restarts)),
      word("slot-memory",
           "where what workers publish lies: in the device's memory where devices can read each "
           "other's, or in the host's",
           std::vector<std::pair<std::string, SlotMemory>>{{"auto", SlotMemory::automatic},
                                                           {"host", SlotMemory::host},
                                                           {"device", SlotMemory::device}},
           PACELINE_FIELD(run.slot_memory)),
      flag("slot-checksums",
           "check that nobody writes into published parameters: a pass more over them at every "
           "publish, two at every read",
           PACELINE_FIELD(run.slot_checksums)),
      checkpoint_every(),
      count("keep-checkpoints", "checkpoints that are kept, the newest",
            PACELINE_FIELD(run.keep_checkpoints)),
      silent(text("record", "FILE",
                  "keep all that decides the run beside its options: paceline lab --replay FILE "
                  "takes the same course again",
                  PACELINE_FIELD(run.record))),
      silent(text("run", "DIR", "the run's folder (default runs/DATE-NETWORK-PROTOCOL)",
                  PACELINE_FIELD(run.directory))),
      silent(flag("json", "standard output is the summary alone, as JSON", PACELINE_FIELD(json))),
      silent(flag("quiet", "no progress", PACELINE_FIELD(quiet))),
  };
  return rows;
}

}  // namespace paceline
