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

Result<std::unique_ptr<Interrupt>> Interrupt::watch(RunControl& control, std::string_view said) {
  std::unique_ptr<Interrupt> made(new Interrupt);
  sigset_t heeded;
  sigemptyset(&heeded);
  sigaddset(&heeded, SIGINT);
  sigaddset(&heeded, SIGTERM);
  struct sigaction stop {};
  sigaction(SIGTSTP, nullptr, &stop);
  if (stop.sa_handler != SIG_IGN) sigaddset(&heeded, SIGTSTP);  // else a shell without job control
  pthread_sigmask(SIG_BLOCK, &heeded, &made->former_);
  made->signals_ = signalfd(-1, &heeded, SFD_CLOEXEC | SFD_NONBLOCK);
  made->ended_ = eventfd(0, EFD_CLOEXEC);
  if (made->signals_ < 0 || made->ended_ < 0) {
    return fail_errno(errno, "cannot listen to signals");
  }
  made->listener_ = std::thread([raw = made.get(), &control, said] { raw->listen(control, said); });
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

void Interrupt::listen(RunControl& control, std::string_view said) const {
  std::array<pollfd, 2> watched{{{signals_, POLLIN, 0}, {ended_, POLLIN, 0}}};
  while (true) {
    if (poll(watched.data(), watched.size(), -1) < 0) continue;  // EINTR alone can happen
    if (watched[1].revents != 0) return;
    signalfd_siginfo signal{};
    if (read(signals_, &signal, sizeof signal) != sizeof signal) continue;
    if (signal.ssi_signo == SIGTSTP) {
      stop_with_workers(control);
      continue;
    }
    // Arenas that a process leaves behind are swept by the next one.
    if (control.stopping()) _exit(kInterrupted);
    control.stop();
    if (isatty(STDERR_FILENO) == 1) std::fputc('\n', stderr);  // off the progress line
    fmt::print(stderr, "paceline: {}\n", said);
  }
}

/// Stops this process as the signal would have done, and returns when it goes on.
void Interrupt::stop_with_workers(RunControl& control) {
  constexpr std::chrono::seconds kLongest{1};  // a run that is busy with a disk is not waited for
  control.suspend(kLongest);
  sigset_t stop, former;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTSTP);
  pthread_sigmask(SIG_UNBLOCK, &stop, &former);
  raise(SIGTSTP);
  pthread_sigmask(SIG_SETMASK, &former, nullptr);
  control.go_on();
}

}  // namespace paceline
