// Which way runs a convolution's pass, chosen by timing once for each machine (processor or GPU,
// library, threads), shape and pass; the CPU's ways are in cpu/convolution_ways_internal.h, the
// GPU's are cuDNN's plans. What was chosen is remembered in a file, one line a choice, that
// processes may append to at once; without a file it is remembered as long as the object lives.
// Thread-safe; whoever asks while another is timing waits, so that timings do not disturb each
// other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>

namespace paceline {

class ConvolutionChoice {
 public:
  /// How objects that share a file time: each for itself; or one at a time (of all processes, by a
  /// lock on the file, for seconds at most), so that who waited takes what the other has chosen:
  /// for workers that share a GPU.
  enum class Timing : std::uint8_t { at_once, in_turn };

  /// @param file     where choices are kept; empty: nowhere
  /// @param machine  begins each line: processor, libraries, threads
  ConvolutionChoice(std::filesystem::path file, std::string machine,
                    Timing timing = Timing::at_once);

  /// The name of the fastest way.
  /// @param what   the pass and its shape, in one line
  /// @param names  of the ways that can run it
  /// @param seconds  runs one of them once; called again and again when `what` is new
  std::string fastest(const std::string& what, std::span<const std::string> names,
                      const std::function<double(std::size_t)>& seconds);
  /// What `fastest` would return without timing.
  std::optional<std::string> remembered(const std::string& what,
                                        std::span<const std::string> names);

  /// $PACELINE_CACHE, $XDG_CACHE_HOME/paceline or ~/.cache/paceline, then /`name`; empty without a
  /// home.
  static std::filesystem::path default_file(const char* name = "convolutions.txt");

 private:
  std::optional<std::string> find(const std::string& what,
                                  std::span<const std::string> names) const;
  void read();
  void append(const std::string& line) const;

  const std::filesystem::path file_;
  const std::string machine_;
  const Timing timing_;
  std::mutex mutex_;
  std::map<std::string, std::string> chosen_;
};

}  // namespace paceline
