// The lab's samples as files: CSV, and SVG pictures by gnuplot.
#pragma once

#include <string>
#include <vector>

#include "paceline/actors/simulation/trial.h"

namespace paceline {

/// One curve.
struct Curve {
  std::string name;  ///< the protocol and what was swept
  std::vector<Sample> samples;
};

Result<> write_csv(const std::string& file, const std::vector<Curve>& curves);
/// PREFIX-time.svg, PREFIX-gradients.svg, PREFIX-bytes.svg. @return an error when there is no gnuplot
Result<> plot(const std::string& prefix, const std::vector<Curve>& curves);

}  // namespace paceline
