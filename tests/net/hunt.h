// What the hunts for torn reads share: payloads whose every byte tells their version, and for how
// long to hunt.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

namespace paceline {

/// The word that a version's payload consists of: another one for each version, and never zero.
inline std::uint64_t word_of_version(std::uint64_t version) {
  return version * 0x9e3779b97f4a7c15u | 1;
}

/// @pre whole words
inline void fill_with_version(std::span<std::byte> payload, std::uint64_t version) {
  const std::uint64_t word = word_of_version(version);
  for (std::size_t at = 0; at < payload.size(); at += sizeof word)
    std::memcpy(&payload[at], &word, sizeof word);
}

/// Whether every byte is the version's.
inline bool holds_version(std::span<const std::byte> payload, std::uint64_t version) {
  std::uint64_t differences = 0, word = 0;
  for (std::size_t at = 0; at < payload.size(); at += sizeof word) {
    std::memcpy(&word, &payload[at], sizeof word);
    differences |= word ^ word_of_version(version);
  }
  return differences == 0;
}

/// PACELINE_HUNT_SECONDS when it is set; a second otherwise.
inline std::chrono::duration<double> hunt_time() {
  const char* given = std::getenv("PACELINE_HUNT_SECONDS");
  return std::chrono::duration<double>(given != nullptr ? std::strtod(given, nullptr) : 1.0);
}

}  // namespace paceline
