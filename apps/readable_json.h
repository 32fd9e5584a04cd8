// Figures that are made as JSON, as a table for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace paceline {

/// An object's members one a line; an array of objects as a table with a column for each key.
std::string readable_json(const nlohmann::json& figures);

}  // namespace paceline
