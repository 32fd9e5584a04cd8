#include "paceline/actors/letters.h"

#include <algorithm>

namespace paceline {
namespace {

template <class E>
struct Timed {
  double t;
  E event;
};
template <class E>
TimedEvent timed_event(const Letter& letter) {
  const auto timed = body<Timed<E>>(letter);
  return {timed.t, timed.event};
}
constexpr LetterKind kind_of(const ScoreEvent&) { return LetterKind::score; }
constexpr LetterKind kind_of(const LeaderEvent&) { return LetterKind::leader; }
constexpr LetterKind kind_of(const PullEvent&) { return LetterKind::pull; }
constexpr LetterKind kind_of(const ReadEvent&) { return LetterKind::read; }

}  // namespace

Letter letter(LetterKind kind, Address to, Address from) {
  Letter made;
  made.to = to.index;
  made.from = from.index;
  made.kind = static_cast<std::uint16_t>(kind);
  return made;
}

std::vector<Letter> text_letters(LetterKind kind, Address from, const TextHead& head,
                                 std::string_view text) {
  constexpr std::size_t kRoom = sizeof(Letter::payload) - sizeof(TextHead);
  std::vector<Letter> letters;
  do {
    Letter& part = letters.emplace_back(letter(kind, {}, from, head));
    const std::size_t n = std::min(text.size(), kRoom);
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), n,
                part.payload + sizeof(TextHead));
    part.bytes = static_cast<std::uint16_t>(sizeof(TextHead) + n);
    text.remove_prefix(n);
  } while (!text.empty());
  for (std::size_t i = 0; i < letters.size(); ++i)
    letters[i].part = static_cast<std::uint32_t>(letters.size() - 1 - i);  // how many follow
  return letters;
}

std::optional<TextReader::Text> TextReader::add(const Letter& letter) {
  PACELINE_CHECK(letter.bytes >= sizeof(TextHead) && letter.bytes <= sizeof letter.payload,
                 "a text of {} bytes", letter.bytes);
  std::string& text = unfinished_[{letter.from, letter.kind}];
  text.append(reinterpret_cast<const char*>(letter.payload) + sizeof(TextHead),
              letter.bytes - sizeof(TextHead));
  if (letter.part > 0) return std::nullopt;
  Text whole;
  std::memcpy(&whole.head, letter.payload, sizeof(TextHead));
  whole.text = std::exchange(text, {});
  return whole;
}

void TextReader::forget(Address from) {
  std::erase_if(unfinished_, [&](const auto& text) { return text.first.first == from.index; });
}

std::vector<Letter> event_letters(Address from, const TimedEvent& timed) {
  return std::visit(
      [&]<class E>(const E& event) -> std::vector<Letter> {
        if constexpr (std::is_same_v<E, FaultEvent>)
          return text_letters(LetterKind::fault, from, {timed.t, event.round, 0}, event.text);
        else if constexpr (std::is_same_v<E, CheckpointEvent>)
          PACELINE_CHECK(false, "only the node's process writes checkpoints");
        else
          return {letter(kind_of(event), {}, from, Timed<E>{timed.t, event})};
      },
      timed.event);
}

std::optional<TimedEvent> event_of(const Letter& letter, TextReader& texts) {
  switch (static_cast<LetterKind>(letter.kind)) {
    case LetterKind::score:
      return timed_event<ScoreEvent>(letter);
    case LetterKind::leader:
      return timed_event<LeaderEvent>(letter);
    case LetterKind::pull:
      return timed_event<PullEvent>(letter);
    case LetterKind::read:
      return timed_event<ReadEvent>(letter);
    case LetterKind::fault:
      if (const auto fault = texts.add(letter))
        return TimedEvent{fault->head.t, FaultEvent{fault->head.round, fault->text}};
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace paceline
