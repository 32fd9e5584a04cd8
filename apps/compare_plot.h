// A comparison's curves: test error of leaders and means against training seconds and images. A line
// is the mean over seeds, the band around it reaches from the best to the worst.
#pragma once

#include <string>

#include "paceline/apps/compare_report.h"

namespace paceline {

/// Draws PREFIX-leader-time.svg, -mean-time.svg, -leader-images.svg and -mean-images.svg.
/// @return an error when there is no curve yet, or gnuplot does not draw
Result<> plot(const std::string& prefix, const CompareReport& report);

}  // namespace paceline
