// The options of `paceline train`: one table says for each its name, help, reader and printer.
//   TO-1 The command line goes before the environment (PACELINE_TAU for --tau), that before the INI
//        file of --config, that before the defaults.
//   TO-2 --steps, --epochs and --minutes are one choice: the place that goes first and names one of
//        them decides.
//   TO-3 config_text() read back by --config gives the same options; the run directory is no part
//        of them, nor is what only changes printing.
//   TO-4 With --resume, the INI file is the run's config.ini, which data, network, protocol and seed
//        cannot leave.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "paceline/actors/run.h"
#include "paceline/result.h"

namespace paceline {

struct TrainOptions {
  RunOptions run;  ///< learning rate resolved; directory empty: named by date, network, protocol
  std::string data = "synthetic";
  std::string network = "cnn7";
  NetworkDescription description;  ///< what `network` names
  std::size_t image_size = 0;      ///< of image files; 0: what the network is made for
  double label_smoothing = 0;      ///< the network's, in [0, 1)
  std::string resume;              ///< the folder of the run that goes on; empty: a new one
  std::int32_t die_with = 0;       ///< a process, which started this one; 0: none
  bool json = false, quiet = false;
  bool print_config = false;
  bool help = false;  ///< asked for: nothing else was read
};

/// @param arguments    what follows `paceline train`
/// @param environment  "NAME=VALUE" each
/// @return options that check() accepts; else one line that names the option and the remedy
Result<TrainOptions> parse_train_options(std::span<const std::string> arguments,
                                         std::span<const std::string> environment);

/// An INI file of everything that decides the run.
std::string config_text(const TrainOptions& options);

std::string train_help();

}  // namespace paceline
