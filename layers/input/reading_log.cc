#include "paceline/layers/input/reading_log.h"

namespace paceline {

void ReadingLog::add_image(double cpu_seconds) {
  const std::lock_guard lock(mutex_);
  ++images_;
  cpu_seconds_ += cpu_seconds;
}

void ReadingLog::add_wait(double seconds) {
  const std::lock_guard lock(mutex_);
  wait_seconds_ += seconds;
}

std::size_t ReadingLog::skip(std::string_view name, std::string_view reason) {
  const std::lock_guard lock(mutex_);
  skipped_.emplace(name, reason);
  return skipped_.size();
}

void ReadingLog::give_up(Error reason) {
  const std::lock_guard lock(mutex_);
  if (!failure_.code) failure_ = std::move(reason);
}

std::uint64_t ReadingLog::images() const {
  const std::lock_guard lock(mutex_);
  return images_;
}

double ReadingLog::cpu_seconds() const {
  const std::lock_guard lock(mutex_);
  return cpu_seconds_;
}

double ReadingLog::wait_seconds() const {
  const std::lock_guard lock(mutex_);
  return wait_seconds_;
}

SkippedFiles ReadingLog::skipped() const {
  const std::lock_guard lock(mutex_);
  return skipped_;
}

Result<> ReadingLog::usable() const {
  const std::lock_guard lock(mutex_);
  if (failure_.code) return failure_;
  return success();
}

}  // namespace paceline
