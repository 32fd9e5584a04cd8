#include "paceline/net/fabric.h"

#include <sys/random.h>

#include <charconv>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace paceline {

FabricToken FabricToken::random() {
  FabricToken token;
  const auto bytes = getrandom(token.bytes.data(), token.bytes.size(), 0);
  PACELINE_CHECK(bytes == static_cast<ssize_t>(token.bytes.size()), "the system gives no random");
  return token;
}

Result<FabricToken> FabricToken::from_text(const std::string& text) {
  FabricToken token;
  const auto wrong = [] {
    return fail(std::errc::invalid_argument, "a fabric's token has 64 hexadecimal digits");
  };
  if (text.size() != 2 * token.bytes.size()) return wrong();
  for (std::size_t i = 0; i < token.bytes.size(); ++i) {
    const char* digits = &text[2 * i];
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits, digits + 2, value, 16);
    if (error != std::errc() || end != digits + 2) return wrong();
    token.bytes[i] = static_cast<std::byte>(value);
  }
  return token;
}

std::string FabricToken::text() const {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

namespace {

/// What somebody waits for. A std::promise would make a system call though nobody sleeps yet.
template <class R>
class Answer {
 public:
  void tell(R result) {
    const std::lock_guard lock(mutex_);
    result_ = std::move(result);
    come_.notify_one();
  }
  R wait() {
    std::unique_lock lock(mutex_);
    come_.wait(lock, [this] { return result_.has_value(); });
    return std::move(*result_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable come_;
  std::optional<R> result_;
};

}  // namespace

// Both waits end: FA-1.

Result<Arrival> read_and_wait(Fabric& fabric, PeerId peer, const RemoteSlot& from, Loan loan,
                              Deadline deadline) {
  const auto answer = std::make_shared<Answer<Result<Arrival>>>();
  fabric.begin_here([&] {
    fabric.read(peer, from, std::move(loan), deadline,
                [answer](Result<Arrival> arrival) { answer->tell(std::move(arrival)); });
  });
  return answer->wait();
}

Result<> send_and_wait(Fabric& fabric, PeerId peer, std::uint32_t mailbox, const Letter& letter,
                       Deadline deadline) {
  const auto answer = std::make_shared<Answer<Result<>>>();
  fabric.begin_here([&] {
    fabric.send(peer, mailbox, letter, deadline,
                [answer](const Result<>& sent) { answer->tell(sent); });
  });
  return answer->wait();
}

}  // namespace paceline
