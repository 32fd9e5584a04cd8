#include "paceline/apps/lab_plot.h"

#include <fmt/os.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

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
      "set terminal svg size 760,480 dynamic background 'white' font 'sans,12'\n"
      "set output '{}'\nset xlabel '{}'\nset ylabel '{}'\n{}set format y '%g'\nset grid\n"
      "set key outside right top\nplot ",
      picture, axis.label, distance ? "squared distance to the optimum" : "objective",
      distance ? "set logscale y\n" : "");
  for (std::size_t i = 0; i < curves.size(); ++i)
    text += fmt::format("{}'{}' index {} using {}:{} with lines lw 2 title '{}' noenhanced",
                        i ? ", " : "", data, i, axis.column, distance ? 5 : 4, curves[i].name);
  return text + "\n";
}

}  // namespace

Result<> write_csv(const std::string& file, const std::vector<Curve>& curves) {
  std::ofstream out(file);
  out << "run,virtual_seconds,iterations,gradients,bytes,objective,distance_squared\n";
  for (const Curve& curve : curves)
    for (const Sample& s : curve.samples)
      out << fmt::format("\"{}\",{},{},{},{},{},{}\n", curve.name, s.virtual_seconds, s.iterations,
                         s.gradients, s.bytes, number(s.objective),
                         s.distance_squared ? number(*s.distance_squared) : "");
  out.flush();
  if (!out) return fail(std::errc::io_error, "{} cannot be written", file);
  return success();
}

Result<> plot(const std::string& prefix, const std::vector<Curve>& curves) {
  static constexpr Axis kAxes[] = {{"time", "virtual seconds", 1},
                                   {"gradients", "gradient evaluations", 2},
                                   {"bytes", "bytes", 3}};
  const std::string data = prefix + ".dat", commands = prefix + ".gnuplot";
  {
    std::ofstream out(data);
    for (const Curve& curve : curves) {
      for (const Sample& s : curve.samples)
        out << fmt::format("{} {} {} {} {}\n", s.virtual_seconds, s.gradients, s.bytes, s.objective,
                           s.distance_squared.value_or(0));
      out << "\n\n";
    }
    out.flush();
    std::ofstream text(commands);
    for (const Axis& axis : kAxes)
      text << script(data, fmt::format("{}-{}.svg", prefix, axis.suffix), axis, curves);
    text.flush();
    if (!out || !text) return fail(std::errc::io_error, "{} cannot be written", data);
  }
  std::string quoted = commands;
  for (std::size_t at = 0; (at = quoted.find('\'', at)) != std::string::npos; at += 4)
    quoted.replace(at, 1, "'\\''");
  const int status = std::system(fmt::format("gnuplot '{}'", quoted).c_str());
  std::error_code ignored;
  std::filesystem::remove(data, ignored);
  std::filesystem::remove(commands, ignored);
  if (status != 0)
    return fail(std::errc::io_error, "gnuplot did not draw {}: is gnuplot-nox installed?", prefix);
  return success();
}

}  // namespace paceline
