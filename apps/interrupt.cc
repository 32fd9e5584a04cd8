#include "paceline/apps/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>

#include "paceline/apps/exit_code.h"

namespace paceline {

Result<std::unique_ptr<Interrupt>> Interrupt::watch(RunControl& control) {
  std::unique_ptr<Interrupt> made(new Interrupt);
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, SIGINT);
  sigaddset(&both, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &both, &made->former_);
  made->signals_ = signalfd(-1, &both, SFD_CLOEXEC | SFD_NONBLOCK);
  made->ended_ = eventfd(0, EFD_CLOEXEC);
  if (made->signals_ < 0 || made->ended_ < 0) {
    return fail_errno(errno, "cannot listen to signals");
  }
  made->listener_ = std::thread([raw = made.get(), &control] { raw->listen(control); });
  return made;
}

Interrupt::~Interrupt() {
  if (listener_.joinable()) {
    const std::uint64_t one = 1;
    if (write(ended_, &one, sizeof one) == sizeof one) listener_.join();
  }
  if (signals_ >= 0) close(signals_);
  if (ended_ >= 0) close(ended_);
  pthread_sigmask(SIG_SETMASK, &former_, nullptr);
}

void Interrupt::listen(RunControl& control) const {
  std::array<pollfd, 2> watched{{{signals_, POLLIN, 0}, {ended_, POLLIN, 0}}};
  while (true) {
    if (poll(watched.data(), watched.size(), -1) < 0) continue;  // EINTR alone can happen
    if (watched[1].revents != 0) return;
    signalfd_siginfo signal{};
    if (read(signals_, &signal, sizeof signal) != sizeof signal) continue;
    // Arenas that a process leaves behind are swept by the next one.
    if (control.stopping()) _exit(kInterrupted);
    control.stop();
    if (isatty(STDERR_FILENO) == 1) std::fputc('\n', stderr);  // off the progress line
    std::fputs("paceline: finishing the step, then writing the results; once more ends at once\n",
               stderr);
  }
}

}  // namespace paceline
