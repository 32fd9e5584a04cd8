#include "paceline/apps/compare_plot.h"

#include <algorithm>
#include <cmath>

#include "paceline/apps/gnuplot.h"

namespace paceline {
namespace {

using Points = std::vector<TestPoint>;

/// Between its points by interpolation, level beyond them.
TestPoint at(const Points& curve, double t) {
  const auto after = std::ranges::lower_bound(curve, t, {}, &TestPoint::train_seconds);
  if (after == curve.begin()) return curve.front();
  if (after == curve.end()) return curve.back();
  const TestPoint &a = *(after - 1), &b = *after;
  const double share = (t - a.train_seconds) / (b.train_seconds - a.train_seconds);
  return {t, a.images + share * (b.images - a.images), a.error + share * (b.error - a.error)};
}

/// Columns: seconds, images, mean, least and greatest error in %.
std::string block(const std::vector<const Points*>& curves) {
  std::string text;
  for (const TestPoint& point : *curves[0]) {
    double images = 0, mean = 0, least = INFINITY, greatest = -INFINITY;
    for (const Points* curve : curves) {
      const TestPoint p = at(*curve, point.train_seconds);
      images += p.images / static_cast<double>(curves.size());
      mean += p.error / static_cast<double>(curves.size());
      least = std::min(least, p.error);
      greatest = std::max(greatest, p.error);
    }
    text += fmt::format("{} {} {} {} {}\n", point.train_seconds, images, 100 * mean, 100 * least,
                        100 * greatest);
  }
  return text + "\n\n";
}

struct Line {
  std::string name;
  std::size_t index;  ///< of its block
  bool band;
  bool of_mean;
};

std::string picture(const std::string& prefix, const std::string& file, bool of_mean, bool images,
                    const std::vector<Line>& lines) {
  static constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                             "#e69f00", "#56b4e9", "#000000"};
  constexpr std::size_t kColourCount = std::size(kColours);
  std::string text =
      fmt::format("set output {}\nset xlabel '{}'\nset ylabel 'test error of the {}, %'\nplot ",
                  gnuplot_text(fmt::format("{}-{}-{}.svg", prefix, of_mean ? "mean" : "leader",
                                           images ? "images" : "time")),
                  images ? "images, all workers together" : "training seconds",
                  of_mean ? "workers'' mean" : "leader or centre");
  const std::string data = gnuplot_text(file);
  const int x = images ? 2 : 1;
  std::vector<std::string> parts;
  std::size_t nth = 0;
  for (const Line& line : lines) {
    if (line.of_mean != of_mean) continue;
    const char* colour = kColours[nth % kColourCount];
    if (line.band)
      parts.push_back(
          fmt::format("{} index {} using {}:4:5 with filledcurves fs transparent solid 0.15 "
                      "noborder lc rgb '{}' "
                      "notitle",
                      data, line.index, x, colour));
    parts.push_back(fmt::format(
        "{} index {} using {}:3 with linespoints pt 7 ps 0.3 lw 2 dt {} lc rgb '{}' title {} "
        "noenhanced",
        data, line.index, x, nth / kColourCount + 1, colour, gnuplot_text(line.name)));
    ++nth;
  }
  return text + fmt::format("{}\n", fmt::join(parts, ", "));
}

}  // namespace

Result<> plot(const std::string& prefix, const CompareReport& report) {
  std::vector<Line> lines;
  std::string data;
  for (const bool of_mean : {false, true})
    for (std::size_t k = 0; k < report.contenders.size(); ++k) {
      std::vector<const Points*> curves;
      for (const RunRecord& run : report.records[k].runs)
        if (const Points& curve = of_mean ? run.mean : run.leader; !curve.empty())
          curves.push_back(&curve);
      if (curves.empty()) continue;
      lines.push_back({report.plan.contenders[report.contenders[k]].name, lines.size(),
                       curves.size() > 1, of_mean});
      data += block(curves);
    }
  if (lines.empty())
    return fail(std::errc::invalid_argument,
                "--plot {}: there is no curve yet: let a run of a seed finish first", prefix);
  return draw(prefix, data, [&](const std::string& file) {
    std::string script =
        "set terminal svg size 860,480 dynamic background 'white' font 'sans,12'\n"
        "set grid\nset key outside right top\n";
    for (const bool of_mean : {false, true})
      for (const bool images : {false, true})
        script += picture(prefix, file, of_mean, images, lines);
    return script;
  });
}

}  // namespace paceline
