// The other process in the tests of fabrics: killed or stopped at any moment.
//   fabric_peer KIND host           an arena of two slots and a mailbox; prints its address
//   fabric_peer KIND read ADDRESS   connects, prints "connected", and reads slot 0 for ever; ends
//                                   with 3 when what came is torn, with 4 when the other side ends
// Slot 0 of the host is published for ever, slot 1 once; whatever comes into the mailbox is thrown
// away. Both end with their parent.
#include <signal.h>
#include <sys/prctl.h>

#include <iostream>
#include <string>
#include <thread>

#include "net/fabric_peer.h"
#include "net/fabric_stage.h"

namespace paceline {
namespace {

int host(const std::string& kind) {
  Side side(kind, fabric_peer_shapes());
  {
    Loan loan = side.loan(1);
    fill_with_version(loan.bytes(), 1);
    std::move(loan).publish();
  }
  std::thread([&] {
    Letter letter;
    for (;;) side.arena().mailbox(0).wait(letter, seconds(3600));
  }).detach();
  for (bool first = true;; first = false) {
    Loan loan = side.loan(0);
    fill_with_version(loan.bytes(), side.slot(0).version() + 1);
    std::move(loan).publish();
    if (first) std::cout << side.fabric().address() << std::endl;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

int read(const std::string& kind, const std::string& address) {
  Side side(kind, fabric_peer_shapes());
  const PeerId peer = side.connect(address);
  std::cout << "connected" << std::endl;
  for (;;) {
    const auto arrival =
        read_and_wait(side.fabric(), peer, RemoteSlot::newest(0), side.loan(0), in_time());
    if (!arrival) return arrival.error().code == std::errc::not_connected ? 4 : 5;
    if (!holds_version(arrival.value().loan.bytes(), arrival.value().version)) return 3;
  }
}

}  // namespace
}  // namespace paceline

int main(int count, char** arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setenv("PACELINE_RDMA_OTHER", "1", 1);  // the first device is the test's
  if (count == 3 && arguments[2] == std::string("host")) return paceline::host(arguments[1]);
  if (count == 4 && arguments[2] == std::string("read"))
    return paceline::read(arguments[1], arguments[3]);
  return 2;
}
