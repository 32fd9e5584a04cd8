// What someone may have meant who wrote a word that nobody knows: for messages about names and
// options.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace paceline {

/// The candidate with the fewest letters to insert, delete, replace or swap; of equals the first.
/// Capitals count as their small letters.
/// @return empty if none comes closer than about a third of the word's letters
std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace paceline
