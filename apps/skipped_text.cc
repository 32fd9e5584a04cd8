#include "paceline/apps/skipped_text.h"

namespace paceline {

std::string skipped_text(const SkippedFiles& skipped) {
  constexpr int kNamed = 3;
  if (skipped.empty()) return "";
  std::string text = fmt::format("{} image file{} could not be read: ", skipped.size(),
                                 skipped.size() == 1 ? "" : "s");
  int named = 0;
  for (const auto& [name, reason] : skipped) {
    if (named == kNamed) return text + ", ...";
    text += fmt::format("{}{} ({})", named++ == 0 ? "" : ", ", name, reason);
  }
  return text;
}

}  // namespace paceline
