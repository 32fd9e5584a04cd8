#include "paceline/apps/progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace paceline {
namespace {

using namespace std::chrono_literals;
constexpr auto kBetweenLines = 5s;
constexpr std::size_t kPlainWidth = 120, kBarWidth = 20;

/// [0, 1], of the budget: steps where they are counted, else time.
double share_done(const Progress& p) {
  const double done = p.steps_planned > 0
                          ? static_cast<double>(p.steps) / static_cast<double>(p.steps_planned)
                          : p.train_seconds / std::max(p.train_seconds + p.seconds_left, 1e-9);
  return std::isfinite(done) ? std::clamp(done, 0.0, 1.0) : 0.0;
}

std::string bar(double share) {
  const auto full = static_cast<std::size_t>(share * kBarWidth);
  return fmt::format("[{:<{}}] ", std::string(full, '='), kBarWidth);
}

std::size_t terminal_width(std::FILE* out) {
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool can_redraw(std::FILE* out) {
  const char* kind = std::getenv("TERM");
  return isatty(fileno(out)) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

}  // namespace

std::string clock_text(double seconds) {
  const auto whole = static_cast<long long>(std::ceil(std::clamp(seconds, 0.0, 1e9)));
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string progress_text(const Progress& p, std::size_t width) {
  const double share = share_done(p);
  std::string text = fmt::format("{:>3.0f} %", 100 * share);
  if (std::string_view(p.phase) == "train") {
    text += fmt::format("  {} left", clock_text(p.seconds_left));
  } else {
    text += fmt::format("  {}", p.phase);
  }
  text += fmt::format("  {:.0f} images/s", p.images_per_second);
  if (p.leader) {
    text += fmt::format("  worker {} leads", *p.leader);
    if (p.loss) text += fmt::format(", loss {:.3f}", *p.loss);
  }
  if (p.test_error) text += fmt::format("  test error {:.2f} %", 100 * *p.test_error);
  if (text.size() + kBarWidth + 3 <= width) text.insert(0, bar(share));
  if (text.size() > width) text.resize(width);
  return text;
}

ProgressLine::ProgressLine(std::FILE* out) : out_(out), terminal_(can_redraw(out)) {}

void ProgressLine::show(const Progress& progress) {
  if (terminal_) {
    show(progress_text(progress, terminal_width(out_)));
  } else {
    const auto now = std::chrono::steady_clock::now();
    if (last_ && now - *last_ < kBetweenLines) return;
    last_ = now;
    fmt::print(out_, "{}\n", progress_text(progress, kPlainWidth));
  }
  std::fflush(out_);
}

void ProgressLine::show(std::string_view text) {
  if (!terminal_) return;
  // One column stays free: a full line would wrap and no longer be overwritten.
  const std::size_t width = std::max<std::size_t>(terminal_width(out_), 2) - 1;
  fmt::print(out_, "\r{}\x1b[K", text.substr(0, width));
  std::fflush(out_);
  open_ = true;
}

void ProgressLine::finish() {
  if (!open_) return;
  std::fputc('\n', out_);
  open_ = false;
}

}  // namespace paceline
