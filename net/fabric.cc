#include "paceline/net/fabric.h"

#include <sys/random.h>

#include <charconv>
#include <future>
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

// Both waits end: FA-1.

Result<Arrival> read_and_wait(Fabric& fabric, PeerId peer, const RemoteSlot& from, Loan loan,
                              Deadline deadline) {
  const auto promise = std::make_shared<std::promise<Result<Arrival>>>();
  auto result = promise->get_future();
  fabric.begin_here([&] {
    fabric.read(peer, from, std::move(loan), deadline,
                [promise](Result<Arrival> arrival) { promise->set_value(std::move(arrival)); });
  });
  return result.get();
}

Result<> send_and_wait(Fabric& fabric, PeerId peer, std::uint32_t mailbox, const Letter& letter,
                       Deadline deadline) {
  const auto promise = std::make_shared<std::promise<Result<>>>();
  auto result = promise->get_future();
  fabric.begin_here([&] {
    fabric.send(peer, mailbox, letter, deadline,
                [promise](Result<> sent) { promise->set_value(std::move(sent)); });
  });
  return result.get();
}

}  // namespace paceline
