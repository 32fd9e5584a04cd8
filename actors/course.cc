#include "paceline/actors/course.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>

#include "paceline/layers/checksum.h"

namespace paceline {
namespace {

constexpr std::array<char, 8> kMagic{'P', 'L', 'C', 'O', 'U', 'R', 'S', 'E'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChunk = 4096;  // entries that are summed up and written at once

/// How a file begins; `text` bytes of options follow, then entries.
struct FileHead {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion, text = 0;
  std::uint64_t layout = 0, data = 0;
  std::uint32_t groups = 0, per_group = 0, spare = 0, unused = 0;
};
static_assert(sizeof(FileHead) == 48);

template <class T>
std::string_view bytes_of(std::span<const T> items) {
  return {reinterpret_cast<const char*>(items.data()), items.size_bytes()};
}

/// Of a chunk behind others.
std::uint64_t summed(std::uint64_t before, std::string_view chunk) {
  return before * 0x9e3779b97f4a7c15 + checksum(chunk);
}

template <class... Args>
Error refused(const std::filesystem::path& file, fmt::format_string<Args...> text, Args&&... args) {
  return fail(std::errc::illegal_byte_sequence, "{} {}", file.string(),
              fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace

Result<std::unique_ptr<CourseWriter>> CourseWriter::create(const std::filesystem::path& path,
                                                           const CourseHead& head) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr)
    return fail_errno(errno, "cannot record to {} (choose another file)", path.string());
  std::unique_ptr<CourseWriter> writer(new CourseWriter(path, file));
  FileHead begin;
  begin.text = static_cast<std::uint32_t>(head.options.size());
  begin.layout = head.layout;
  begin.data = head.data;
  begin.groups = head.place.groups;
  begin.per_group = head.place.per_group;
  begin.spare = head.place.spare;
  writer->write(&begin, sizeof begin);
  writer->write(head.options.data(), head.options.size());
  writer->sum_ = summed(checksum(bytes_of(std::span<const FileHead>(&begin, 1))), head.options);
  writer->entries_.reserve(kChunk);
  return writer;
}

void CourseWriter::write(const void* bytes, std::size_t count) {
  if (std::fwrite(bytes, 1, count, file_.get()) != count && error_ == 0) error_ = errno;
}

void CourseWriter::flush() {
  const std::string_view bytes = bytes_of(std::span<const CourseEntry>(entries_));
  sum_ = summed(sum_, bytes);
  write(bytes.data(), bytes.size());
  count_ += entries_.size();
  entries_.clear();
}

void CourseWriter::add(const CourseEntry& entry) {
  const std::lock_guard lock(mutex_);
  entries_.push_back(entry);
  if (entries_.size() == kChunk) flush();
}

Result<> CourseWriter::finish() {
  const std::lock_guard lock(mutex_);
  flush();
  const CourseEntry end{CourseEntry::Kind::end, 0, 0, static_cast<std::uint32_t>(count_), sum_};
  write(&end, sizeof end);
  if (std::fflush(file_.get()) != 0 && error_ == 0) error_ = errno;
  if (error_ == 0) return success();
  return fail_errno(error_, "cannot record to {} (a full disk? choose another file)",
                    path_.string());
}

Result<Course> read_course(const std::filesystem::path& path) {
  std::error_code code;
  if (!std::filesystem::is_regular_file(path, code))
    return fail(std::errc::no_such_file_or_directory,
                "{} is no file: give one that paceline train --record has written", path.string());
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file) return fail_errno(errno, "cannot read {} (check its permissions)", path.string());
  FileHead head;
  if (text.size() < sizeof head || std::memcmp(text.data(), kMagic.data(), kMagic.size()) != 0)
    return refused(path,
                   "is no course of a run: give one that paceline train --record has written");
  std::memcpy(&head, text.data(), sizeof head);
  if (head.version != kVersion)
    return refused(path, "has version {} of the format, and this is version {}: record it anew",
                   head.version, kVersion);
  const char* cut_off = "is cut off: the run that recorded it did not end in order: record it anew";
  if (text.size() - sizeof head < head.text) return refused(path, "{}", cut_off);
  Course course;
  course.head = {head.layout, head.data, {head.groups, head.per_group, head.spare}, {}};
  course.head.options = text.substr(sizeof head, head.text);
  const std::string_view rest = std::string_view(text).substr(sizeof head + head.text);
  const std::size_t count = rest.size() / sizeof(CourseEntry);
  course.entries.resize(count, CourseEntry{CourseEntry::Kind::end});
  if (count > 0) std::memcpy(course.entries.data(), rest.data(), count * sizeof(CourseEntry));
  if (count == 0 || rest.size() % sizeof(CourseEntry) != 0 ||
      course.entries.back().kind != CourseEntry::Kind::end)
    return refused(path, "{}", cut_off);
  const CourseEntry end = course.entries.back();
  course.entries.pop_back();
  std::uint64_t sum = summed(checksum(std::string_view(text).substr(0, sizeof head)),
                             std::string_view(text).substr(sizeof head, head.text));
  const std::span<const CourseEntry> all(course.entries);
  for (std::size_t at = 0; at <= all.size(); at += kChunk)
    sum = summed(sum, bytes_of(all.subspan(at, std::min(kChunk, all.size() - at))));
  if (sum != end.value || end.other != static_cast<std::uint32_t>(all.size()))
    return refused(path, "is damaged: its checksum does not match: record it anew");
  for (const CourseEntry& entry : all)
    if (entry.role >= course.head.place.roles())
      return refused(path, "is damaged: it has no role {}: record it anew", entry.role);
  return course;
}

std::uint64_t data_hash(const Data& data) {
  std::uint64_t sum = 0;
  for (const Dataset* set : {data.train.get(), data.test.get()}) {
    sum = summed(sum, bytes_of(std::span<const std::uint16_t>(set->labels)));
    sum = summed(sum, bytes_of(std::span<const std::uint8_t>(set->pixels)));
  }
  return sum;
}

}  // namespace paceline
