// Which algorithm runs a convolution's pass: direct, or Winograd's where oneDNN has it, chosen by
// timing once for each processor, oneDNN, thread count, shape and pass. What was chosen is remembered
// in a file, one line a choice, that processes may append to at once; without a file it is remembered
// as long as the object lives. Thread-safe; whoever asks while another is timing waits, so that
// timings do not disturb each other.
// @source Lavin and Gray 2016 (Winograd's minimal filtering)
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace paceline {

class ConvolutionChoice {
 public:
  /// @param file     where choices are kept; empty: nowhere
  /// @param machine  begins each line: processor, library, threads
  ConvolutionChoice(std::filesystem::path file, std::string machine);

  /// Whether Winograd's algorithm is the faster one.
  /// @param what  the pass and its shape, in one line
  /// @param faster  times both; called once for each `what`
  bool winograd(const std::string& what, const std::function<bool()>& faster);

  /// $PACELINE_CACHE, $XDG_CACHE_HOME/paceline or ~/.cache/paceline, then /convolutions.txt; empty
  /// without a home.
  static std::filesystem::path default_file();

 private:
  void read();
  void append(const std::string& line) const;

  const std::filesystem::path file_;
  const std::string machine_;
  std::mutex mutex_;
  std::map<std::string, bool> chosen_;
};

}  // namespace paceline
