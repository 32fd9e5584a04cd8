// What a run's messages look like between the processes of a node: letters of a mailbox, and what is
// longer than one as several. Nothing here waits or sends. Threading: none of its own.
//   LT-1 A letter holds trivially copyable structs of this build alone; both ends are the same
//        program, which the arena's layout version and hash stand for.
//   LT-2 Text takes as many letters as it needs; those of one sender and kind follow each other.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "paceline/actors/event.h"
#include "paceline/actors/place.h"
#include "paceline/net/mailbox.h"
#include "paceline/result.h"

namespace paceline {

enum class LetterKind : std::uint16_t {
  // between roles
  packet = 1,
  saved,
  // to a worker's process
  begin,
  stop,
  fetched,
  // from a worker's process
  fetch,
  score,
  leader,
  pull,
  fault,  ///< text
  progressed,
  ready,    ///< text: empty, or why not
  trouble,  ///< text: why the run cannot go on
  skipped,  ///< text: an image file's name, a tab, the reason
  ended,
  // from the node's process to itself
  process_ended,
  // between groups that are processes
  read,         ///< an event
  group_hello,  ///< text: where this group listens
  group_peer,   ///< text: where the group of `to` listens
  group_ready,  ///< text: empty, or why not
  group_begin,
  group_stop,
  group_drain,  ///< which time
  group_drained,
  group_finished,
  group_end,
  group_stand_still,
  group_stands,
  group_go_on,
  figures,
  led,
  counted,
  // between a visitor and the node
  crew_question,
  crew_answer  ///< text
};

/// A letter with a body, or with none.
Letter letter(LetterKind kind, Address to, Address from);
template <class T>
Letter letter(LetterKind kind, Address to, Address from, const T& body) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(Letter::payload));
  Letter made = letter(kind, to, from);
  made.bytes = sizeof(T);
  std::memcpy(made.payload, &body, sizeof(T));
  return made;
}
template <class T>
T body(const Letter& letter) {
  static_assert(std::is_trivially_copyable_v<T>);
  PACELINE_CHECK(letter.bytes == sizeof(T), "a letter of kind {} with {} bytes, not {}",
                 letter.kind, letter.bytes, sizeof(T));
  T made;
  std::memcpy(static_cast<void*>(&made), letter.payload, sizeof(T));
  return made;
}

/// What goes with a text.
struct TextHead {
  double t = 0;
  std::uint64_t round = 0;
  std::int32_t code = 0;  ///< of std::generic_category
};
std::vector<Letter> text_letters(LetterKind kind, Address from, const TextHead& head,
                                 std::string_view text);

/// An event and when, in training seconds.
struct TimedEvent {
  double t = 0;
  Event event;
};
std::vector<Letter> event_letters(Address from, const TimedEvent& event);

/// Puts texts together again.
class TextReader {
 public:
  struct Text {
    TextHead head;
    std::string text;
  };
  /// @return the whole, with its last letter
  std::optional<Text> add(const Letter& letter);
  /// Drops what a process left unfinished.
  void forget(Address from);

 private:
  std::map<std::pair<std::uint32_t, std::uint16_t>, std::string> unfinished_;
};

/// @return nothing for letters of other kinds, and before the last of several
std::optional<TimedEvent> event_of(const Letter& letter, TextReader& texts);

}  // namespace paceline
