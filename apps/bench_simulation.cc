#include "paceline/apps/bench_simulation.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <numeric>
#include <type_traits>

#include "paceline/actors/simulation/objectives.h"
#include "paceline/actors/simulation/virtual_time.h"
#include "paceline/apps/gnuplot.h"
#include "paceline/apps/option_value.h"
#include "paceline/net/arena.h"
#include "paceline/net/child_process.h"

namespace paceline {
namespace {

using Clock = std::chrono::steady_clock;

struct Point {
  const char* name;
  std::uint32_t groups;
  std::size_t dimension;
  std::uint64_t steps;  // a worker's
  bool lockstep, bowls;
};
constexpr std::uint32_t kPerGroup = 100;
constexpr Point kPoints[] = {
    {"rounds", 100, 1000, 400, true, true}, {"events", 100, 1, 400, true, false},
    {"events", 100, 1, 400, false, false},  {"growth", 10, 100, 100, true, true},
    {"growth", 20, 100, 100, true, true},   {"growth", 50, 100, 100, true, true},
    {"growth", 100, 100, 100, true, true},  {"growth", 200, 100, 100, true, true},
    {"growth", 500, 100, 100, true, true},  {"growth", 1000, 100, 100, true, true},
};

/// What a point's process leaves on the board.
struct Board {
  ProcessIdentity parent;
  std::uint64_t point = 0;
  std::uint64_t steps = 0, events = 0, peak_bytes = 0;  // 0 events: not done
  double seconds = 0, wall_seconds = 0;
};
static_assert(std::is_trivially_copyable_v<Board>);

/// |x - 1|^2 / 2
class Bowl final : public GradientEngine {
 public:
  double gradient(ConstVector at, Vector gradient, Rng&) override {
    const auto x = elements<float>(at);
    const auto g = elements<float>(gradient);
    constexpr std::size_t kSums = 16;  // for the compiler, which keeps the order of a sum
    float sums[kSums] = {};
    for (std::size_t k = 0; k < g.size(); ++k) g[k] = x[k] - 1;
    for (std::size_t first = 0; first < g.size(); first += kSums)
      for (std::size_t k = first; k < std::min(first + kSums, g.size()); ++k)
        sums[k - first] += g[k] * g[k];
    return 0.5 * static_cast<double>(std::accumulate(sums, sums + kSums, 0.0F));
  }
};

VirtualRun run_of(const Point& point) {
  VirtualRun run;
  run.protocol = find_protocol("lsgd");
  if (point.lockstep) run.settings = {{"mode", "barrier"}, {"lockstep", "true"}};
  run.place = {point.groups, kPerGroup};
  run.dimension = point.dimension;
  run.math = &vector_math_f32();
  run.sgd = {.learning_rate = 0.1, .momentum = 0, .weight_decay = 0, .form = Momentum::none};
  run.engine = [bowls = point.bowls](Rank rank) -> std::unique_ptr<GradientEngine> {
    if (bowls) return std::make_unique<Bowl>();
    return std::make_unique<Level<float>>(1.0 + rank);
  };
  run.initial = [](Address who, Vector x) {
    Rng rng(1, who.index);
    for (float& value : elements<float>(x)) value = static_cast<float>(rng.uniform());
  };
  run.steps = point.steps;
  run.keep_records = false;
  run.conditions.local_delay = std::chrono::microseconds(2);
  run.conditions.remote_delay = std::chrono::microseconds(50);
  run.conditions.bytes_per_second = 10'000'000'000;
  if (!point.lockstep) run.conditions.spread_percent = run.conditions.jitter_percent = 100;
  return run;
}

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Of this program alone: getrusage() counts what its parent had as well.
std::uint64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmHWM:") {
      std::uint64_t kilobytes = 0;
      status >> kilobytes;
      return 1024 * kilobytes;
    }
  return 0;
}

nlohmann::json described(const Point& point, const Board& board) {
  return {{"point", point.name},
          {"mode", point.lockstep ? "lockstep" : "nonblocking"},
          {"workers", point.groups * kPerGroup},
          {"groups", point.groups},
          {"dimension", point.dimension},
          {"steps", board.steps},
          {"events", board.events},
          {"seconds", board.seconds},
          {"wall_seconds", board.wall_seconds},
          {"events_per_second", static_cast<double>(board.events) / board.seconds},
          {"peak_bytes", board.peak_bytes}};
}

}  // namespace

Result<nlohmann::json> bench_simulation(const std::string& only) {
  std::vector<std::string> names;
  for (const Point& point : kPoints)
    if (std::ranges::find(names, point.name) == names.end()) names.emplace_back(point.name);
  if (!only.empty()) PACELINE_TRYV(parse_word(only, names));
  ArenaOptions options;
  options.name = "bench-simulation";
  options.board_bytes = sizeof(Board);
  PACELINE_TRY(const Arena arena, Arena::create(options));
  nlohmann::json results = nlohmann::json::array();
  for (std::size_t i = 0; i < std::size(kPoints); ++i) {
    if (!only.empty() && only != kPoints[i].name) continue;
    Board board;
    board.parent = this_process();
    board.point = i;
    std::memcpy(arena.board().data(), &board, sizeof board);
    PACELINE_TRY(ChildProcess child, ChildProcess::start({"/proc/self/exe", "bench", "simulation",
                                                          "--peer", arena.segment()}));
    const auto end = child.wait(std::chrono::hours(24));
    if (!end || !end->orderly())
      return fail(std::errc::no_child_process, "the process of {} workers ended early: {}",
                  kPoints[i].groups * kPerGroup, end ? end->words() : "it takes too long");
    std::memcpy(&board, arena.board().data(), sizeof board);
    results.push_back(described(kPoints[i], board));
  }
  return nlohmann::json{{"results", results}};
}

Result<> answer_bench_simulation(const std::string& segment) {
  PACELINE_TRY(const Arena arena, Arena::attach(segment, 0));
  Board board;
  if (arena.board().size() == sizeof board) std::memcpy(&board, arena.board().data(), sizeof board);
  if (arena.board().size() != sizeof board || board.point >= std::size(kPoints))
    return fail(std::errc::invalid_argument, "{} is no arena of paceline bench simulation",
                segment);
  PACELINE_TRYV(die_with_parent(board.parent));
  const double before = processor_seconds();
  const auto start = Clock::now();
  {
    PACELINE_TRY(VirtualTime time, VirtualTime::create(run_of(kPoints[board.point])));
    time.run();
    board.steps = time.steps();
    board.events = time.events();
  }
  board.wall_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  board.seconds = processor_seconds() - before;
  board.peak_bytes = peak_bytes();
  std::memcpy(arena.board().data(), &board, sizeof board);
  return success();
}

Result<> plot_growth(const std::string& prefix, const nlohmann::json& figures) {
  std::string data;
  for (const auto& row : figures.at("results"))
    if (row.at("point") == "growth")
      data += fmt::format("{} {} {}\n", row.at("workers").get<std::uint64_t>(),
                          row.at("seconds").get<double>(),
                          row.at("peak_bytes").get<double>() / (1 << 20));
  if (data.empty())
    return fail(std::errc::invalid_argument, "nothing to draw: --plot takes the points 'growth'");
  const auto script = [&](const std::string& file) {
    std::string text;
    for (const auto& [suffix, label, column] :
         {std::tuple{"seconds", "processor seconds", 2}, {"bytes", "MiB resident at most", 3}})
      text += fmt::format(
          "{}set output '{}-{}.svg'\nset xlabel 'workers'\nset ylabel '{}'\nset grid\n"
          "set xrange [0:*]\nset yrange [0:*]\nset key off\n"
          "plot '{}' using 1:{} with linespoints lw 2 pt 7\n",
          kSvgTerminal, prefix, suffix, label, file, column);
    return text;
  };
  return draw(prefix, data, script);
}

}  // namespace paceline
