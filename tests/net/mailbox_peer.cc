// The other process in the tests of mailboxes: killed at any moment.
//   mailbox_peer send SEGMENT SENDER LIFE     sends numbered letters to mailbox 0 until the board's
//                                             first word is set, says how many there were
//   mailbox_peer tear SEGMENT SENDER LIFE     sends some, then dies by SIGKILL in the middle of one
//   mailbox_peer receive SEGMENT              takes them and notes each number on the board, in its
//                                             second word; ends with 3 at one torn or out of order
//   mailbox_peer answer SEGMENT               waits for letters and sends them to mailbox 1
// Each ends with its parent; the last two print one line when they are under way.
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "net/letter_board.h"
#include "net/numbered_letter.h"
#include "paceline/net/arena.h"

namespace paceline {
namespace {

void say(const std::string& line) { std::cout << line << std::endl; }

int send(const Arena& arena, SenderId sender, std::uint32_t life) {
  const std::atomic<std::uint64_t>& stop = board_of(arena).stop;
  std::uint32_t number = 0;
  while (stop == 0)
    if (arena.mailbox(0).send(sender, numbered_letter(sender, life, number)))
      ++number;
    else
      std::this_thread::yield();
  say(std::to_string(number));
  return 0;
}

/// A letter of which the end cannot be read: whoever copies it is killed half-way.
const Letter& unreadable_letter(const Letter& letter) {
  const auto page = static_cast<std::size_t>(getpagesize());
  void* memory =
      mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::byte* start = static_cast<std::byte*>(memory) + page - sizeof letter / 2;
  std::memcpy(start, &letter, sizeof letter);
  mprotect(static_cast<std::byte*>(memory) + page, page, PROT_NONE);
  signal(SIGSEGV, [](int) { kill(getpid(), SIGKILL); });
  return *reinterpret_cast<const Letter*>(start);
}

int tear(const Arena& arena, SenderId sender, std::uint32_t life) {
  const std::uint32_t last = std::random_device{}() % 100;
  for (std::uint32_t number = 0; number < last;)
    if (arena.mailbox(0).send(sender, numbered_letter(sender, life, number)))
      ++number;
    else
      std::this_thread::yield();
  const Letter& letter = unreadable_letter(numbered_letter(sender, life, last));
  while (!arena.mailbox(0).send(sender, letter)) std::this_thread::yield();
  return 0;
}

int receive(const Arena& arena) {
  Board& board = board_of(arena);
  say("receiving");
  Letter letter;
  for (std::uint64_t turn = 0;; ++turn) {
    if (!(turn % 2 == 0 ? arena.mailbox(0).take(letter)
                        : arena.mailbox(0).wait(letter, std::chrono::milliseconds(10))))
      continue;
    // Each that died since then may have taken one letter along, and no more.
    const std::uint64_t next = board.received;
    if (!is_whole(letter) || letter.part < next || letter.part > next + board.deaths) return 3;
    board.received = letter.part + 1;
    board.deaths = 0;
  }
}

int answer(const Arena& arena) {
  say("answering");
  Letter letter;
  for (;;)
    if (arena.mailbox(0).wait(letter, std::chrono::hours(1))) arena.mailbox(1).send(0, letter);
}

int run(const std::vector<std::string>& words) {
  if (words.size() < 2) return 2;
  const auto arena = Arena::attach(words[1], 0);
  if (!arena) {
    std::cerr << arena.error().message << std::endl;
    return 2;
  }
  if ((words[0] == "send" || words[0] == "tear") && words.size() == 4)
    return (words[0] == "send" ? send : tear)(arena.value(),
                                              static_cast<SenderId>(std::stoul(words[2])),
                                              static_cast<std::uint32_t>(std::stoul(words[3])));
  if (words[0] == "receive") return receive(arena.value());
  if (words[0] == "answer") return answer(arena.value());
  return 2;
}

}  // namespace
}  // namespace paceline

int main(int count, char** arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return paceline::run({arguments + 1, arguments + count});
}
