#include "paceline/apps/gnuplot.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace paceline {

std::string gnuplot_text(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "''" : std::string(1, c);
  return quoted + "'";
}

Result<> draw(const std::string& prefix, const std::string& data,
              const std::function<std::string(const std::string& file)>& script) {
  const std::string file = prefix + ".dat", commands = prefix + ".gnuplot";
  {
    std::ofstream out(file), text(commands);
    out << data << std::flush;
    text << script(file) << std::flush;
    if (!out || !text) return fail(std::errc::io_error, "{} cannot be written", file);
  }
  std::string quoted = commands;
  for (std::size_t at = 0; (at = quoted.find('\'', at)) != std::string::npos; at += 4)
    quoted.replace(at, 1, "'\\''");
  const int status = std::system(fmt::format("gnuplot '{}'", quoted).c_str());
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  std::filesystem::remove(commands, ignored);
  if (status != 0)
    return fail(std::errc::io_error, "gnuplot did not draw {}: is gnuplot-nox installed?", prefix);
  return success();
}

}  // namespace paceline
