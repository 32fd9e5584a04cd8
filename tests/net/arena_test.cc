#include "paceline/net/arena.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <optional>

#include "net/hunt.h"
#include "net/slot_peer.h"
#include "paceline/net/arena_layout_internal.h"
#include "paceline/net/segment_name_internal.h"

namespace paceline {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t kLayoutHash = 7;

ArenaOptions small(const std::string& name) { return {name, kLayoutHash, {{4096}, {100}}, 8}; }

bool exists(const std::string& segment) { return std::filesystem::exists("/dev/shm" + segment); }

/// Overwrites bytes of a segment's file, as a bad writer would.
template <class Value>
void overwrite(const std::string& segment, std::size_t offset, Value value) {
  std::fstream file("/dev/shm" + segment, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(reinterpret_cast<const char*>(&value), sizeof value);
  ASSERT_TRUE(file.flush());
}

std::string attach_error(const std::string& segment, std::uint64_t layout_hash = kLayoutHash) {
  const auto arena = Arena::attach(segment, layout_hash);
  return arena ? "attached" : arena.error().message;
}

TEST(Arena, SlotsHaveTheirShapesAndAlignedBuffers) {
  const Arena arena = Arena::create(small("shapes")).value();
  ASSERT_EQ(arena.slots(), 2u);
  EXPECT_EQ(arena.slot(0).bytes(), 4096u);
  EXPECT_EQ(arena.slot(1).bytes(), 100u);
  for (std::size_t i = 0; i < 2; ++i)
    for (int turn = 0; turn < 6; ++turn) {
      auto loan = arena.slot(i).loan();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(loan->bytes().data()) % 64, 0u);
      std::ranges::fill(loan->bytes(), static_cast<std::byte>(i + 1));
      std::move(*loan).publish();
    }
  for (std::size_t i = 0; i < 2; ++i)
    for (const std::byte byte : arena.slot(i).pin().bytes())
      ASSERT_EQ(byte, static_cast<std::byte>(i + 1));
}

TEST(Arena, BoardIsZeroAtFirstAndForEveryAttachedProcess) {
  for (const bool shared : {true, false}) {
    ArenaOptions options{.name = "board", .layout_hash = kLayoutHash};
    options.board_bytes = 1000;
    const Arena arena = (shared ? Arena::create(options) : Arena::local(options)).value();
    EXPECT_EQ(arena.slots(), 0u);
    EXPECT_EQ(arena.mailboxes(), 0u);
    ASSERT_EQ(arena.board().size(), 1000u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.board().data()) % 64, 0u);
    for (const std::byte byte : arena.board()) ASSERT_EQ(byte, std::byte{0});
    if (!shared) continue;
    const Arena attached = Arena::attach(arena.segment(), kLayoutHash).value();
    ASSERT_EQ(attached.board().size(), 1000u);
    arena.board()[999] = std::byte{7};
    EXPECT_EQ(attached.board()[999], std::byte{7});
  }
}

TEST(Arena, SlotsMailboxesAndBoardShareNothing) {
  ArenaOptions options = small("parts");
  options.pins = 3;
  options.mailboxes = {{2}, {8}, {1024}};
  options.board_bytes = 100;
  for (const bool shared : {true, false}) {
    const Arena arena = (shared ? Arena::create(options) : Arena::local(options)).value();
    ASSERT_EQ(arena.mailboxes(), 3u);
    std::ranges::fill(arena.board(), std::byte{0xff});
    for (std::size_t i = 0; i < 3; ++i) {
      const Mailbox mailbox = arena.mailbox(i);
      EXPECT_EQ(mailbox.capacity(), options.mailboxes[i].letters);
      Letter letter;
      letter.part = static_cast<std::uint32_t>(i);
      std::ranges::fill(letter.payload, std::byte{0xff});
      while (mailbox.send(1, letter)) continue;
      EXPECT_EQ(mailbox.refused(), 1u);
    }
    for (std::size_t i = 0; i < 2; ++i)
      for (int turn = 0; turn < 6; ++turn) {
        auto loan = arena.slot(i).loan();
        ASSERT_TRUE(loan);
        std::ranges::fill(loan->bytes(), static_cast<std::byte>(i + 1));
        std::move(*loan).publish();
      }
    for (const std::byte byte : arena.board()) ASSERT_EQ(byte, std::byte{0xff});
    for (std::size_t i = 0; i < 3; ++i) {
      Letter letter;
      for (std::size_t n = 0; n < arena.mailbox(i).capacity(); ++n) {
        ASSERT_TRUE(arena.mailbox(i).take(letter));
        ASSERT_EQ(letter.part, i);
        ASSERT_TRUE(
            std::ranges::all_of(letter.payload, [](auto b) { return b == std::byte{0xff}; }));
      }
      EXPECT_FALSE(arena.mailbox(i).take(letter));
    }
    for (std::size_t i = 0; i < 2; ++i)
      for (const std::byte byte : arena.slot(i).pin().bytes())
        ASSERT_EQ(byte, static_cast<std::byte>(i + 1));
  }
}

TEST(Arena, SegmentIsForItsOwnerAloneAndReservedInFull) {
  const Arena arena = Arena::create(small("owner")).value();
  struct stat status {};
  ASSERT_EQ(stat(("/dev/shm" + arena.segment()).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(status.st_uid, geteuid());
  EXPECT_EQ(static_cast<std::size_t>(status.st_size), arena.bytes());
  EXPECT_GE(static_cast<std::size_t>(status.st_blocks) * 512, arena.bytes());
  EXPECT_EQ(arena.segment(), fmt::format("/paceline.{}.{}.{}.owner", geteuid(), getpid(),
                                         this_process().start_time));
}

TEST(Arena, ASlotForLaterTakesNoMemoryBeforeItIsReserved) {
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  ArenaOptions options{.name = "later", .layout_hash = kLayoutHash};
  options.slots = {{100}, {kBytes, true}, {200}, {kBytes, true}};
  Arena arena = Arena::create(options).value();
  const auto taken = [&] {
    struct stat status {};
    EXPECT_EQ(stat(("/dev/shm" + arena.segment()).c_str(), &status), 0);
    return static_cast<std::size_t>(status.st_blocks) * 512;
  };
  EXPECT_GT(arena.bytes(), 6 * kBytes);
  EXPECT_LT(taken(), kBytes);
  {
    Arena attached = Arena::attach(arena.segment(), kLayoutHash).value();
    EXPECT_LT(taken(), kBytes) << "nor does who attaches take it";
    ASSERT_TRUE(attached.reserve(3));
    EXPECT_GE(taken(), 3 * kBytes);
    EXPECT_LT(taken(), 4 * kBytes);
    auto loan = attached.slot(3).loan();
    std::ranges::fill(loan->bytes(), std::byte{7});
    std::move(*loan).publish();
  }
  ASSERT_TRUE(arena.reserve(3)) << "again";
  ASSERT_TRUE(arena.reserve(0)) << "it is there from the beginning";
  EXPECT_LT(taken(), 4 * kBytes);
  const Pin pin = arena.slot(3).pin();
  EXPECT_EQ(pin.bytes().back(), std::byte{7});
  EXPECT_FALSE(arena.slot(1).pin()) << "nobody has published there";
  ASSERT_TRUE(arena.reserve(1));
  EXPECT_GE(taken(), 6 * kBytes);
}

TEST(Arena, ASlotForLaterThatDoesNotFitIsRefusedWhenItIsReserved) {
  struct statvfs room {};
  ASSERT_EQ(statvfs("/dev/shm", &room), 0);
  const std::size_t all = room.f_blocks * room.f_frsize;
  if (all == 0) GTEST_SKIP() << "/dev/shm has no limit";
  ArenaOptions options{.name = "toolate", .layout_hash = kLayoutHash};
  options.slots = {{100}, {all / 3 + 1, true}};
  Arena arena = Arena::create(options).value();
  const auto reserved = arena.reserve(1);
  ASSERT_FALSE(reserved);
  EXPECT_EQ(reserved.error().code, std::errc::no_space_on_device);
  EXPECT_THAT(reserved.error().message, HasSubstr("/dev/shm has "));
}

TEST(Arena, TooLargeAnArenaFailsAtOnceNamingNeededAndAvailable) {
  // A page or two more than the whole of /dev/shm: too much, whoever else takes or gives back some.
  struct statvfs room {};
  ASSERT_EQ(statvfs("/dev/shm", &room), 0);
  const std::size_t all = room.f_blocks * room.f_frsize;
  if (all == 0) GTEST_SKIP() << "/dev/shm has no limit";
  const ArenaOptions options{"toolarge", kLayoutHash, {{all / 3 + 1}}};
  const std::size_t needed = layout_bytes(options).value().all;
  ASSERT_LE(needed, all + 2 * static_cast<std::size_t>(getpagesize()));
  const auto arena = Arena::create(options);
  ASSERT_FALSE(arena);
  EXPECT_EQ(arena.error().code, std::errc::no_space_on_device);
  EXPECT_THAT(arena.error().message, HasSubstr(fmt::format("needs {} bytes (", needed)));
  EXPECT_THAT(arena.error().message, HasSubstr("/dev/shm has "));
  EXPECT_THAT(arena.error().message, HasSubstr("--shm-size="));
  EXPECT_THAT(arena.error().message, Not(HasSubstr("\n")));
  EXPECT_FALSE(exists(format_segment_name({geteuid(), this_process(), "toolarge"})));
}

TEST(Arena, OptionsOutOfBoundsAreRefused) {
  for (const char* name : {"", "with.dot", "with/slash", "with space"})
    EXPECT_EQ(Arena::create({name, 0, {{64}}}).error().code, std::errc::invalid_argument) << name;
  EXPECT_EQ(Arena::create({"x", 0, {{SIZE_MAX}}}).error().code, std::errc::invalid_argument);
  EXPECT_EQ(Arena::local({"x", 0, {{64}}, SIZE_MAX}).error().code, std::errc::invalid_argument);
  for (const std::size_t letters : {std::size_t{0}, std::size_t{1}, std::size_t{3}, SIZE_MAX,
                                    std::size_t{1} << 21, std::size_t{1} << 63}) {
    const auto arena = Arena::local({.name = "x", .mailboxes = {{letters}}});
    ASSERT_FALSE(arena) << letters;
    EXPECT_EQ(arena.error().code, std::errc::invalid_argument);
    EXPECT_THAT(arena.error().message, HasSubstr("a power of two"));
  }
  EXPECT_EQ(Arena::local({.name = "x", .board_bytes = SIZE_MAX}).error().code,
            std::errc::invalid_argument);
  const std::vector<MailboxShape> too_many((1 << 16) + 1, {2});
  EXPECT_EQ(Arena::local({.name = "x", .mailboxes = too_many}).error().code,
            std::errc::invalid_argument);
}

TEST(Arena, NameGoesWithItsCreator) {
  std::string segment;
  {
    const Arena arena = Arena::create(small("short")).value();
    segment = arena.segment();
    EXPECT_TRUE(exists(segment));
    { const Arena attached = Arena::attach(segment, kLayoutHash).value(); }
    EXPECT_TRUE(exists(segment)) << "an attached one leaves it alone";
  }
  EXPECT_FALSE(exists(segment));
  EXPECT_THAT(attach_error(segment), HasSubstr("its creator has ended"));
}

TEST(Arena, MovingKeepsViewsPinsAndTheName) {
  std::optional<Arena> arena = Arena::create(small("first")).value();
  const std::string segment = arena->segment();
  const Slot slot = arena->slot(0);
  EXPECT_EQ(std::move(*slot.loan()).publish(), 1u);
  Pin pin = slot.pin();
  Arena moved = std::move(*arena);
  arena.reset();
  EXPECT_TRUE(exists(segment));
  EXPECT_EQ(pin.version(), 1u);
  EXPECT_EQ(std::move(*slot.loan()).publish(), 2u);
  EXPECT_EQ(moved.slot(0).version(), 2u);
  pin = {};  // before its arena
  const Arena other = Arena::create(small("second")).value();
  const std::string other_segment = other.segment();
  EXPECT_NE(other_segment, segment);
  EXPECT_EQ(other.slot(0).version(), 0u) << "two arenas of one process share nothing";
}

TEST(Arena, OneProcessCannotMakeTwoOfOneName) {
  const Arena arena = Arena::create(small("twice")).value();
  const auto again = Arena::create(small("twice"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, std::errc::file_exists);
  EXPECT_TRUE(exists(arena.segment()));
}

TEST(Arena, ForkedChildThatEndsLeavesTheName) {
  std::optional<Arena> arena = Arena::create(small("forked")).value();
  const pid_t child = fork();
  if (child == 0) {
    arena.reset();
    _exit(0);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(exists(arena->segment()));
}

TEST(Arena, AttachedProcessSeesTheSameSlots) {
  const Arena arena = Arena::create(small("attach")).value();
  const Arena attached = Arena::attach(arena.segment(), kLayoutHash).value();
  auto loan = arena.slot(1).loan();
  std::ranges::fill(loan->bytes(), std::byte{42});
  std::move(*loan).publish();
  const Pin pin = attached.slot(1).pin();
  EXPECT_EQ(pin.version(), 1u);
  EXPECT_EQ(pin.bytes().size(), 100u);
  EXPECT_EQ(pin.bytes()[99], std::byte{42});
  EXPECT_EQ(attached.bytes(), arena.bytes());
}

TEST(Arena, AttachNamesTheFirstThingThatDoesNotMatch) {
  const auto fresh = [] { return Arena::create(small("mismatch")).value(); };
  {
    const Arena arena = fresh();
    EXPECT_THAT(attach_error(arena.segment(), 8), HasSubstr("0000000000000007, expected 0000"));
  }
  {
    const Arena arena = fresh();
    overwrite(arena.segment(), offsetof(ArenaHeader, magic), 'p');
    EXPECT_THAT(attach_error(arena.segment()), HasSubstr("is no arena"));
  }
  {
    const Arena arena = fresh();
    overwrite(arena.segment(), offsetof(ArenaHeader, byte_order), 0x0807060504030201);
    EXPECT_THAT(attach_error(arena.segment()), HasSubstr("another byte order"));
  }
  {
    const Arena arena = fresh();
    overwrite(arena.segment(), offsetof(ArenaHeader, layout_version), std::uint64_t{999});
    EXPECT_THAT(attach_error(arena.segment()), HasSubstr("layout version 999"));
  }
  {
    const Arena arena = fresh();
    overwrite(arena.segment(), offsetof(ArenaHeader, creator_start_time), std::uint64_t{1});
    EXPECT_THAT(attach_error(arena.segment()), HasSubstr("another process than its name says"));
  }
  {
    const Arena arena = fresh();
    const std::size_t slot = sizeof(ArenaHeader);
    overwrite(arena.segment(), slot + offsetof(SlotWords, payload), std::uint64_t{1} << 40);
    EXPECT_THAT(attach_error(arena.segment()), HasSubstr("a slot reaches outside"));
  }
  {
    const Arena arena = fresh();
    overwrite(arena.segment(), offsetof(ArenaHeader, slots), std::uint64_t{1} << 19);
    EXPECT_THAT(attach_error(arena.segment()), HasSubstr("a slot reaches outside"));
  }
  for (const std::size_t kept : {std::size_t{0}, sizeof(ArenaHeader) - 1, std::size_t{4096}}) {
    const Arena arena = fresh();
    std::filesystem::resize_file("/dev/shm" + arena.segment(), kept);
    EXPECT_THAT(attach_error(arena.segment()), HasSubstr("is truncated")) << kept;
  }
  EXPECT_THAT(attach_error("/paceline.none"), HasSubstr("no segment /paceline.none"));
}

TEST(Arena, AttachRefusesAMailboxOrABoardThatReachesOutside) {
  ArenaOptions options{.name = "outside", .layout_hash = kLayoutHash};
  options.slots = {{64}};
  options.mailboxes = {{4}, {8}};
  options.board_bytes = 64;
  const std::size_t second =
      sizeof(ArenaHeader) + ArenaHeader::slot_stride(64) + sizeof(MailboxWords);
  const std::size_t letters = second + offsetof(MailboxWords, letters);
  const std::size_t places = second + offsetof(MailboxWords, places);
  const std::size_t whole = layout_bytes(options).value().all;
  struct Case {
    std::size_t offset;
    std::uint64_t value;
    std::string what;
  };
  const std::vector<Case> cases{
      {letters, 0, "a mailbox"},
      {letters, 1, "a mailbox"},
      {letters, 12, "a mailbox"},
      {letters, 1024, "a mailbox"},
      {letters, std::uint64_t{1} << 63, "a mailbox"},
      {places, whole - second - 7 * sizeof(MailboxPlace), "a mailbox"},
      {places, whole, "a mailbox"},
      {places, std::uint64_t{0} - 64, "a mailbox"},
      {places, 2 * sizeof(MailboxWords) + 4, "a mailbox"},
      {offsetof(ArenaHeader, mailboxes), 1 << 15, "a mailbox"},
      {offsetof(ArenaHeader, mailboxes), UINT64_MAX, "a mailbox"},
      {offsetof(ArenaHeader, board_bytes), whole, "the board"},
      {offsetof(ArenaHeader, board_bytes), UINT64_MAX, "the board"},
  };
  for (const Case& c : cases) {
    const Arena arena = Arena::create(options).value();
    EXPECT_EQ(attach_error(arena.segment()), "attached");
    overwrite(arena.segment(), c.offset, c.value);
    EXPECT_THAT(attach_error(arena.segment()), HasSubstr(c.what + " reaches outside"))
        << c.offset << ": " << c.value;
  }
}

TEST(Arena, SweepTakesWhatAKilledCreatorLeftAndSparesALivingOne) {
  SlotPeer living("make", "living"), killed("make", "killed");
  const std::string spared = living.line(), left = killed.line();
  ASSERT_TRUE(exists(spared));
  ASSERT_TRUE(exists(left));
  // From here on anybody's create() may sweep it, another test's too.
  killed.kill();
  const Arena own = Arena::create(small("sweeper")).value();
  EXPECT_FALSE(exists(left)) << "create() sweeps";
  EXPECT_THAT(Arena::sweep(), Not(Contains(own.segment())));
  EXPECT_TRUE(exists(own.segment()));
  EXPECT_TRUE(exists(spared));
  living.kill();
  Arena::sweep();
  EXPECT_FALSE(exists(spared));
}

int make_segment(const std::string& name) {
  return shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
}

TEST(Arena, SweepSparesWhatIsNotItsOwn) {
  // Names as of a creator that is gone, but for one thing: another user's, not quite the pattern,
  // or a lock that is held, which is how the creator's life shows in another container.
  const ProcessIdentity gone{this_process().pid, this_process().start_time + 1};
  const std::string foreign = format_segment_name({geteuid() + 1, gone, "foreign"});
  const std::string strange = format_segment_name({geteuid(), gone, "strange"}) + ".more";
  const std::string locked = format_segment_name({geteuid(), gone, "locked"});
  const std::string format = "/paceline." + std::to_string(geteuid()) + ".format";
  const int lock = make_segment(locked);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  for (const auto& name : {foreign, strange, format}) close(make_segment(name));
  const auto removed = Arena::sweep();
  for (const auto& name : {foreign, strange, locked, format}) {
    EXPECT_THAT(removed, Not(Contains(name)));
    EXPECT_EQ(shm_unlink(name.c_str()), 0) << name;
  }
  close(lock);
}

TEST(Arena, SweepSaysWhatItRemoved) {
  const ProcessIdentity gone{this_process().pid, this_process().start_time + 1};
  const std::string stale = format_segment_name({geteuid(), gone, "stale"});
  bool said = false;
  for (int i = 0; i < 100 && !said; ++i) {  // others sweep as well, and may come first
    close(make_segment(stale));
    const auto removed = Arena::sweep();
    said = std::ranges::find(removed, stale) != removed.end();
    ASSERT_FALSE(exists(stale));
  }
  EXPECT_TRUE(said);
}

TEST(Arena, LocalOneTakesMemoryOnlyAsItIsWritten) {
  const auto resident = [] {
    std::size_t total = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> total >> pages;
    return pages * static_cast<std::size_t>(getpagesize());
  };
  constexpr std::size_t kSlots = 2000, kBytes = 1 << 20;
  const std::size_t before = resident();
  const Arena arena =
      Arena::local({"many", kLayoutHash, std::vector<SlotShape>(kSlots, {kBytes})}).value();
  EXPECT_EQ(arena.segment(), "");
  EXPECT_GT(arena.bytes(), 3 * kSlots * kBytes);
  for (std::size_t i = 0; i < kSlots; ++i) {
    auto loan = arena.slot(i).loan();
    fill_with_version(loan->bytes().first(64), i);
    ASSERT_EQ(std::move(*loan).publish(), 1u);
  }
  for (std::size_t i = 0; i < kSlots; ++i)
    ASSERT_TRUE(holds_version(arena.slot(i).pin().bytes().first(64), i));
  EXPECT_LT(resident() - before, kSlots * kBytes / 16);
}

TEST(Process, IsToldFromALaterOneOfTheSamePid) {
  const ProcessIdentity self = this_process();
  EXPECT_EQ(self.pid, getpid());
  EXPECT_TRUE(is_running(self));
  EXPECT_FALSE(is_running({self.pid, self.start_time + 1}));
}

TEST(Process, ThatHasEndedButIsNotCollectedIsNotRunning) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const ProcessIdentity identity = identify_process(child).value();
  EXPECT_TRUE(is_running(identity));
  kill(child, SIGKILL);
  siginfo_t ended{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(is_running(identity));
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(is_running(identity));
}

}  // namespace
}  // namespace paceline
