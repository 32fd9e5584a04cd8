#include <algorithm>
#include <utility>

#include "paceline/net/peers/letters_under_way_internal.h"

namespace paceline {

void LettersUnderWay::send(std::uint32_t mailbox, const Letter& letter, Deadline deadline,
                           SendDone done) {
  if (letters_.size() >= Fabric::kMostInFlight) return done(too_much_under_way());
  auto frame = make_frame<LetterFrame>();
  frame.number = next_++;
  frame.mailbox = mailbox;
  frame.letter = letter;
  letters_.emplace(frame.number, UnderWay{deadline, std::move(done)});
  road_.send(frame);
}

Result<> LettersUnderWay::on(const LetterAnswer& frame) {
  if (frame.number >= next_)
    return fail(std::errc::protocol_error, "an answer to letter {}, which was not sent",
                frame.number);
  const auto at = letters_.find(frame.number);
  if (at == letters_.end()) return success();
  const SendDone done = std::move(at->second.done);
  letters_.erase(at);
  switch (frame.verdict) {
    case LetterVerdict::delivered:
      done(success());
      break;
    case LetterVerdict::full:
      done(fail(std::errc::no_buffer_space, "the peer's mailbox is full"));
      break;
    case LetterVerdict::no_such_mailbox:
      done(fail(std::errc::invalid_argument, "the peer's arena has no such mailbox"));
      break;
  }
  return success();
}

std::optional<Deadline> LettersUnderWay::expire(Deadline now, const std::string& peer) {
  for (auto at = letters_.begin(); at != letters_.end();) {
    const auto next = std::next(at);
    if (at->second.deadline <= now) {
      const SendDone done = std::move(at->second.done);
      letters_.erase(at);
      done(fail(std::errc::timed_out, "{} did not answer a letter in time", peer));
    }
    at = next;
  }
  if (letters_.empty()) return std::nullopt;
  return std::ranges::min_element(letters_, {},
                                  [](const auto& each) { return each.second.deadline; })
      ->second.deadline;
}

void LettersUnderWay::end_all(const Error& error) {
  for (auto letters = std::exchange(letters_, {}); auto& [number, letter] : letters)
    letter.done(error);
}

}  // namespace paceline
