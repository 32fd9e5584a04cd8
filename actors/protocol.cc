#include "paceline/actors/protocol.h"

#include <array>

#include "protocols/protocols_internal.h"

namespace paceline {
namespace {

const auto& table() {
  static const std::array all = {
      describe_lsgd(),        describe_lgd(),        describe_easgd(),
      describe_eamsgd(),      describe_easgd_sync(), describe_easgd_round_robin(),
      describe_admm(),        describe_downpour(),   describe_adownpour(),
      describe_mvadownpour(), describe_mdownpour(),  describe_minibatch(),
      describe_local_sgd(),   describe_diana(),      describe_swarm(),
      describe_sgd(),         describe_msgd(),       describe_asgd(),
      describe_mvasgd(),
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
