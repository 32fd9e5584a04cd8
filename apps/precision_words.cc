#include "paceline/apps/precision_words.h"

#include "paceline/apps/option_value.h"

namespace paceline {

std::vector<std::pair<std::string, Precision>> precision_words() {
  std::vector<std::pair<std::string, Precision>> words;
  for (const Precision precision : {Precision::f32, Precision::tf32, Precision::bf16})
    words.emplace_back(name_of(precision), precision);
  return words;
}

Result<Precision> given_precision(const GivenOptions& given) {
  const auto words = precision_words();
  const auto found = given.find("precision");
  if (found == given.end()) return Precision::f32;
  std::vector<std::string> names;
  for (const auto& [name, precision] : words) names.push_back(name);
  const auto index = parse_word(found->second.text, names);
  if (!index)
    return fail(std::errc::invalid_argument, "{}: {}", found->second.origin, index.error().message);
  return words[index.value()].second;
}

}  // namespace paceline
