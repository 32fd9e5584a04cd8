// The name of an arena's segment: "/paceline.<uid>.<pid>.<start>.<name>". It tells who made it, so
// that the segments which killed processes leave behind can be told from those in use.
// Threading: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "paceline/net/process.h"

namespace paceline {

struct SegmentName {
  std::uint32_t user = 0;
  ProcessIdentity creator;
  std::string name;  ///< is_plain_name()
};

/// Letters, digits, '-' and '_'; 1 to 64 of them.
bool is_plain_name(std::string_view name);

/// With the leading slash, as shm_open() wants it.
std::string format_segment_name(const SegmentName& segment);
/// @param text  with or without the leading slash
/// @return nothing unless format_segment_name() could have written it
std::optional<SegmentName> parse_segment_name(std::string_view text);

}  // namespace paceline
