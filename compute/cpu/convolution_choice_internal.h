// Which algorithm runs a convolution's pass, chosen by timing once for each processor, oneDNN, thread
// count, shape and pass:
//   direct    the definition, blocked for registers and caches
//   winograd  fewer multiplications: our own (winograd_internal.h)
//   mirrored  stride 1: the forward pass as the data gradient of the convolution with mirrored
//             weights, or the other way round; for some shapes oneDNN does one better than the other
// What was chosen is remembered in a file, one line a choice, that processes may append to at once;
// without a file it is remembered
// as long as the object lives. Thread-safe; whoever asks while another is timing waits, so that
// timings do not disturb each other.
// @source Lavin and Gray 2016 (Winograd's minimal filtering)
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>

namespace paceline {

inline constexpr const char* kDirect = "direct";
inline constexpr const char* kWinograd = "winograd";
inline constexpr const char* kMirrored = "mirrored";

class ConvolutionChoice {
 public:
  /// @param file     where choices are kept; empty: nowhere
  /// @param machine  begins each line: processor, libraries, threads
  ConvolutionChoice(std::filesystem::path file, std::string machine);

  /// The name of the fastest algorithm.
  /// @param what   the pass and its shape, in one line
  /// @param names  of the algorithms that can run it
  /// @param seconds  runs one of them once; called again and again when `what` is new
  std::string fastest(const std::string& what, std::span<const std::string> names,
                      const std::function<double(std::size_t)>& seconds);

  /// $PACELINE_CACHE, $XDG_CACHE_HOME/paceline or ~/.cache/paceline, then /convolutions.txt; empty
  /// without a home.
  static std::filesystem::path default_file();

 private:
  void read();
  void append(const std::string& line) const;

  const std::filesystem::path file_;
  const std::string machine_;
  std::mutex mutex_;
  std::map<std::string, std::string> chosen_;
};

}  // namespace paceline
