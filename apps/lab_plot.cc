#include "paceline/apps/lab_plot.h"

#include <cmath>
#include <fstream>

#include "paceline/apps/gnuplot.h"

namespace paceline {
namespace {

std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }

/// What a picture's axis is called, and the column of the data below.
struct Axis {
  const char *suffix, *label;
  int column;
};

std::string script(const std::string& data, const std::string& picture, const Axis& axis,
                   const std::vector<Curve>& curves) {
  const bool distance = !curves.empty() && curves.front().samples.back().distance_squared;
  std::string text = fmt::format(
      "{}set output '{}'\nset xlabel '{}'\nset ylabel '{}'\n{}set format y '%g'\nset grid\n"
      "set key outside right top\nplot ",
      kSvgTerminal, picture, axis.label, distance ? "squared distance to the optimum" : "objective",
      distance ? "set logscale y\n" : "");
  for (std::size_t i = 0; i < curves.size(); ++i)
    text += fmt::format("{}'{}' index {} using {}:{} with lines lw 2 title '{}' noenhanced",
                        i ? ", " : "", data, i, axis.column, distance ? 5 : 4, curves[i].name);
  return text + "\n";
}

}  // namespace

Result<> write_csv(const std::string& file, const std::vector<Curve>& curves) {
  std::ofstream out(file);
  out << "run,virtual_seconds,iterations,gradients,bytes,objective,distance_squared,test_error\n";
  for (const Curve& curve : curves)
    for (const Sample& s : curve.samples)
      out << fmt::format("\"{}\",{},{},{},{},{},{},{}\n", curve.name, s.virtual_seconds,
                         s.iterations, s.gradients, s.bytes, number(s.objective),
                         s.distance_squared ? number(*s.distance_squared) : "",
                         s.test_error ? number(*s.test_error) : "");
  out.flush();
  if (!out) return fail(std::errc::io_error, "{} cannot be written", file);
  return success();
}

Result<> plot(const std::string& prefix, const std::vector<Curve>& curves) {
  static constexpr Axis kAxes[] = {{"time", "virtual seconds", 1},
                                   {"gradients", "gradient evaluations", 2},
                                   {"bytes", "bytes", 3}};
  std::string data;
  for (const Curve& curve : curves) {
    for (const Sample& s : curve.samples)
      data += fmt::format("{} {} {} {} {}\n", s.virtual_seconds, s.gradients, s.bytes, s.objective,
                          s.distance_squared.value_or(0));
    data += "\n\n";
  }
  return draw(prefix, data, [&](const std::string& file) {
    std::string text;
    for (const Axis& axis : kAxes)
      text += script(file, fmt::format("{}-{}.svg", prefix, axis.suffix), axis, curves);
    return text;
  });
}

}  // namespace paceline
