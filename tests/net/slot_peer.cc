// The other process in the tests of net/: a reader or writer that is killed at any moment.
//   slot_peer make NAME        makes an arena, prints its segment, waits
//   slot_peer write SEGMENT    publishes for ever
//   slot_peer read SEGMENT     pins, verifies and lets go for ever; ends with 3 at a torn version
//   slot_peer loan SEGMENT     half-writes a loaned buffer, waits
//   slot_peer hold SEGMENT     pins the newest version, waits
// Each prints one line when it is under way, and ends with its parent.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <iostream>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "net/far_memory.h"
#include "net/hunt.h"
#include "paceline/net/arena.h"

namespace paceline {
namespace {

constexpr std::uint64_t kLayoutHash = 7;  // as in the tests

void say(std::string_view line) { std::cout << line << std::endl; }

[[noreturn]] void wait_to_be_killed() {
  for (;;) pause();
}

void write(Slot slot) {
  for (bool first = true;; first = false) {
    auto loan = slot.loan();
    if (!loan) continue;
    fill_with_version(loan->bytes(), slot.version() + 1);
    std::move(*loan).publish();
    if (first) say("writing");
  }
}

int read(Slot slot) {
  std::mt19937_64 random(std::random_device{}());
  std::vector<Pin> pins(3);
  std::uint64_t newest = 0;
  for (std::size_t turn = 0;; ++turn) {
    Pin& pin = pins[random() % pins.size()];
    pin = slot.pin();
    if (!pin) continue;
    if (pin.version() < newest || !holds_version(pin.bytes(), pin.version())) return 3;
    newest = pin.version();
    if (random() % 4 == 0) std::this_thread::yield();  // the writer's turn, on few cores
    if (!holds_version(pin.bytes(), newest)) return 3;
    if (random() % 2 == 0) pins[random() % pins.size()] = {};
    if (turn == 100) say("reading");
  }
}

int run(std::string_view mode, const std::string& name) {
  if (mode == "make") {
    auto arena = Arena::create({name, kLayoutHash, {{4096}}});
    if (!arena) return 2;
    say(arena.value().segment());
    wait_to_be_killed();
  }
  FarMemory far;  // where the arena says so
  auto arena = Arena::attach(name, kLayoutHash, &far);
  if (!arena) {
    std::cerr << arena.error().message << std::endl;
    return 2;
  }
  Slot slot = arena.value().slot(0);
  if (mode == "write") write(slot);
  if (mode == "read") return read(slot);
  if (mode == "loan") {
    auto loan = slot.loan();
    if (!loan) return 2;
    fill_with_version(loan->bytes().first(loan->bytes().size() / 2), slot.version() + 1);
    say("loaned");
    wait_to_be_killed();
  }
  if (mode == "hold") {
    const Pin pin = slot.pin();
    if (!pin) return 2;
    say("holding");
    wait_to_be_killed();
  }
  return 2;
}

}  // namespace
}  // namespace paceline

int main(int count, char** arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return count == 3 ? paceline::run(arguments[1], arguments[2]) : 2;
}
