#include "segment_name_internal.h"

#include <algorithm>
#include <charconv>

namespace paceline {
namespace {

constexpr std::string_view kPrefix = "paceline.";

/// Takes "<number>." off the front of `text`.
template <class Number>
bool take_number(std::string_view& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end == text.data() + text.size() || *end != '.') return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return true;
}

}  // namespace

bool is_plain_name(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), plain);
}

std::string format_segment_name(const SegmentName& segment) {
  return fmt::format("/{}{}.{}.{}.{}", kPrefix, segment.user, segment.creator.pid,
                     segment.creator.start_time, segment.name);
}

std::optional<SegmentName> parse_segment_name(std::string_view text) {
  if (text.starts_with('/')) text.remove_prefix(1);
  if (!text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  SegmentName segment;
  if (!take_number(text, segment.user) || !take_number(text, segment.creator.pid) ||
      !take_number(text, segment.creator.start_time) || segment.creator.pid <= 0 ||
      !is_plain_name(text))
    return std::nullopt;
  segment.name = text;
  return segment;
}

}  // namespace paceline
