#include "paceline/actors/node_post.h"

namespace paceline {

NodePost::NodePost(const RunContext& context, const NodeArena& node, caf::actor run)
    : context_(context),
      mailbox_(node.mailbox()),
      run_(std::move(run)),
      to_self_(mailbox_, NodeArena::sender()),
      stop_(mailbox_) {}

void NodePost::start(caf::actor_system& system, Rounds flush) {
  waiter_.emplace(system);
  postman_ = spawn_postman(
      system, mailbox_, &stop_, [this](const Letter& letter) { deliver(letter); },
      [this, flush = std::move(flush)] {
        const bool waits = flush();
        return !to_self_.flush() || waits;
      });
  (*waiter_)->monitor(postman_);
}

void NodePost::end() {
  if (!postman_) return;
  stop_.stop();
  (*waiter_)->receive([](const caf::down_msg&) {});
  postman_ = {};
  waiter_.reset();
}

void NodePost::deliver(const Letter& letter) {
  const Address from{letter.from};
  const auto error_of = [](const TextReader::Text& text) {
    if (text.head.code == 0) return Error{};
    return Error{std::error_code(text.head.code, std::generic_category()), text.text};
  };
  switch (const auto kind = static_cast<LetterKind>(letter.kind)) {
    case LetterKind::packet:
      return anonymously_tell(context_.directory[letter.to], body<Wire>(letter));
    case LetterKind::saved:
      return anonymously_tell(context_.directory[letter.to], body<Saved>(letter));
    case LetterKind::fetch:
      return anonymously_tell(context_.couriers[context_.place.group(from)], body<Fetch>(letter));
    case LetterKind::score:
    case LetterKind::leader:
    case LetterKind::pull:
    case LetterKind::read:
    case LetterKind::fault:
      if (auto timed = event_of(letter, texts_))
        anonymously_tell(context_.recorder, Observation{from, timed->t, std::move(timed->event)});
      return;
    case LetterKind::progressed:
      return anonymously_tell(context_.recorder, body<Progressed>(letter));
    case LetterKind::ready:
    case LetterKind::trouble:
      if (const auto text = texts_.add(letter)) {
        if (kind == LetterKind::ready)
          anonymously_tell(run_, EngineReady{from.index, error_of(*text)});
        else
          anonymously_tell(run_, Trouble{error_of(*text)});
      }
      return;
    case LetterKind::skipped:
      if (const auto text = texts_.add(letter)) {
        const std::size_t tab = text->text.find('\t');
        anonymously_tell(run_, Skipped{text->text.substr(0, tab), text->text.substr(tab + 1)});
      }
      return;
    case LetterKind::ended:
      return anonymously_tell(run_, LastWord{body<EngineEnded>(letter)});
    case LetterKind::process_ended:
      texts_.forget(from);
      return anonymously_tell(run_, ProcessEnded{from.index});
    default:
      PACELINE_CHECK(false, "a letter of kind {} for a node", letter.kind);
  }
}

}  // namespace paceline
