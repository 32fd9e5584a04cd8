#include "paceline/actors/crew_desk.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <thread>
#include <vector>

#include "paceline/actors/letters.h"
#include "paceline/actors/thread_clock.h"
#include "paceline/layers/atomic_file.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr const char* kFile = "node";
constexpr const char* kOver = "it takes no more steps";
constexpr std::errc kRefused = std::errc::invalid_argument;

void say(const Mailbox& answers, std::uint64_t ticket, const Error& error, std::string_view text) {
  TextHead head;
  head.round = ticket;
  head.code = error.code ? error.code.default_error_condition().value() : 0;
  // A mailbox that is full has no reader.
  for (const Letter& letter : text_letters(LetterKind::crew_answer, {}, head, text))
    if (!answers.send(NodeArena::sender(), letter)) return;
}

/// The lock on RUN/node, while it is open.
class Turn {
 public:
  explicit Turn(int file) : file_(file) {}
  Turn(Turn&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (file_ >= 0) close(file_);
  }
  /// @return whether it is ours
  bool take(Clock::time_point until) const {
    while (flock(file_, LOCK_EX | LOCK_NB) != 0) {
      if (Clock::now() > until) return false;
      std::this_thread::sleep_for(20ms);
    }
    return true;
  }

 private:
  int file_;
};

/// Why there is no RUN/node.
Error no_run(const fs::path& directory) {
  std::error_code ignored;
  if (!fs::exists(directory / "config.ini", ignored))
    return fail(kRefused, "{}: holds no run (no config.ini): give a run's folder",
                directory.string());
  if (fs::exists(directory / "summary.json", ignored))
    return fail(kRefused, "{}: the run has ended: workers come and go while it trains",
                directory.string());
  return fail(kRefused, "{}: the run does not train now: workers come and go while it does",
              directory.string());
}

Error ended(const fs::path& directory) {
  return fail(kRefused, "{}: the run has ended: {}", directory.string(), kOver);
}

struct Where {
  std::string segment;
  std::uint64_t layout_hash = 0;
};
Result<Where> read_where(const fs::path& file) {
  Where where;
  std::ifstream stream(file);
  if (!(stream >> where.segment >> std::hex >> where.layout_hash))
    return fail(std::errc::illegal_byte_sequence, "{}: not what a run writes there", file.string());
  return where;
}

}  // namespace

Result<CrewDesk> CrewDesk::open(const NodeArena& node, std::uint64_t layout_hash,
                                const fs::path& directory) {
  const fs::path file = directory / kFile;
  PACELINE_TRYV(write_file_atomically(
      file, std::string_view(fmt::format("{}\n{:x}\n", node.segment(), layout_hash))));
  return CrewDesk(node, file);
}

CrewDesk::CrewDesk(CrewDesk&& other) noexcept
    : node_(other.node_), file_(std::exchange(other.file_, {})) {}

CrewDesk::~CrewDesk() {
  if (file_.empty()) return;
  std::error_code ignored;
  fs::remove(file_, ignored);  // first: who asks from now on is told so
  while (const auto question = take())
    answer(*question, fail(kRefused, "the run has ended: {}", kOver));
}

std::optional<CrewQuestion> CrewDesk::take() {
  Letter letter;
  while (node_->questions().take(letter))
    if (static_cast<LetterKind>(letter.kind) == LetterKind::crew_question)
      return body<CrewQuestion>(letter);
  return std::nullopt;
}

void CrewDesk::answer(const CrewQuestion& question, const Result<std::string>& said) {
  say(node_->answers(), question.ticket, said ? Error{} : said.error(),
      said ? said.value() : said.error().message);
}

Result<std::string> ask_for_crew_change(const fs::path& directory, std::int32_t by,
                                        std::chrono::seconds within) {
  const auto until = Clock::now() + within;
  const fs::path file = directory / kFile;
  const int opened = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0 && (errno == ENOENT || errno == ENOTDIR)) return no_run(directory);
  if (opened < 0) return fail_errno(errno, "cannot read {}", file.string());
  Turn turn(opened);
  PACELINE_TRY(const Where where, read_where(file));
  const auto creator = Arena::creator(where.segment);
  if (!creator)
    return fail(std::errc::illegal_byte_sequence, "{}: not what a run writes there", file.string());
  if (!is_running(*creator))
    return fail(kRefused,
                "{}: the run's process {} is gone without having ended the run: paceline train "
                "--resume goes on with it",
                directory.string(), creator->pid);
  if (!turn.take(until))
    return fail(std::errc::timed_out, "{}: somebody else has been asking this run for {} s",
                directory.string(), within.count());
  auto visited = NodeArena::visit(where.segment, where.layout_hash);
  if (!visited && visited.error().code == std::errc::permission_denied)
    return fail(std::errc::permission_denied, "{}: the run is another user's", directory.string());
  if (!visited && visited.error().code == std::errc::no_such_file_or_directory)
    return ended(directory);
  if (!visited) return std::move(visited).error();
  NodeArena node = std::move(visited).value();
  node.clear_visitors_claims();

  const CrewQuestion question{static_cast<std::uint64_t>(1e9 * wall_seconds()), by};
  if (!node.questions().send(NodeArena::visitor(),
                             letter(LetterKind::crew_question, {}, {}, question)))
    return fail(std::errc::device_or_resource_busy, "{}: the run does not take questions: it hangs",
                directory.string());
  TextReader texts;
  std::error_code ignored;
  while (Clock::now() < until) {
    const bool over = !fs::exists(file, ignored) || !is_running(*creator);
    Letter letter;
    while (node.answers().wait(letter, 100ms)) {
      const auto text = texts.add(letter);
      if (!text || text->head.round != question.ticket) continue;
      if (text->head.code == 0) return text->text;
      return Error{std::error_code(text->head.code, std::generic_category()),
                   directory.string() + ": " + text->text};
    }
    if (over) return ended(directory);
  }
  return fail(std::errc::timed_out,
              "{}: no answer from the run's process {} within {} s; its log and metrics.jsonl will "
              "say what comes of it",
              directory.string(), creator->pid, within.count());
}

}  // namespace paceline
