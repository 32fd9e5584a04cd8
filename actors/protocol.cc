#include "paceline/actors/protocol.h"

#include <array>

#include "protocols/protocols_internal.h"

namespace paceline {
namespace {

const auto& table() {
  static const std::array all = {
      describe_lsgd(),
      describe_easgd(),
      describe_diana(),
  };
  return all;
}

}  // namespace

const Protocol* find_protocol(std::string_view name) {
  for (const Protocol& p : table())
    if (p.name == name) return &p;
  return nullptr;
}

std::vector<const Protocol*> protocols() {
  std::vector<const Protocol*> all;
  for (const Protocol& p : table()) all.push_back(&p);
  return all;
}

}  // namespace paceline
