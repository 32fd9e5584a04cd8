#include "paceline/layers/input/read_ahead_internal.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>

namespace paceline {
namespace {

constexpr std::uint64_t kReplacement = 0x5245504cull;  // a stream of its own
/// Where half the files are good, all of these are bad once in 2^64 draws.
constexpr int kMostReplacements = 64;

double thread_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

ReadAhead::ReadAhead(const Data& data, const Dataset& set, const Options& options, Plan plan)
    : set_(set),
      options_(options),
      plan_(std::move(plan)),
      floats_(3 * options.image.height * options.image.width) {
  PACELINE_CHECK(options.batch > 0 && options.threads > 0, "batches of {} by {} threads",
                 options.batch, options.threads);
  for (Slot& slot : slots_) {
    slot.draws.resize(options.batch);
    slot.images.resize(options.batch * floats_);
    slot.labels.resize(options.batch);
  }
  for (unsigned i = 0; i < options.threads; ++i) {
    auto reader = std::make_unique<ImageReader>(data, set, options.image, options.crop);
    threads_.emplace_back(
        [this, reader = std::move(reader)](const std::stop_token& stop) { read(stop, *reader); });
  }
}

ReadAhead::~ReadAhead() {
  for (std::jthread& thread : threads_) thread.request_stop();  // all, before the first is joined
}

const Batch& ReadAhead::next() {
  std::unique_lock lock(mutex_);
  std::size_t count = 0;
  do {
    if (holding_) {
      ++released_;
      work_.notify_all();
    }
    await_batch(lock);
    holding_ = true;
    count = compact(slot(released_));
  } while (count == 0 && slot(released_).count > 0);  // nothing but what was left out
  Slot& held = slot(released_);
  batch_ = {.images = std::span(held.images).first(count * floats_),
            .labels = std::span(held.labels).first(count)};
  return batch_;
}

void ReadAhead::await_batch(std::unique_lock<std::mutex>& lock) {
  const Slot& wanted = slot(released_);
  const auto ready = [&] { return planned_ > released_ && wanted.done == wanted.count; };
  if (ready()) return;
  const auto since = std::chrono::steady_clock::now();
  ready_.wait(lock, ready);
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - since;
  set_.files->log().add_wait(waited.count());
}

void ReadAhead::restart(const std::function<void()>& reposition) {
  std::unique_lock lock(mutex_);
  paused_ = true;
  ready_.wait(lock, [&] { return decoding_ == 0; });
  reposition();
  planned_ = released_ = 0;
  holding_ = paused_ = false;
  work_.notify_all();
}

std::size_t ReadAhead::compact(Slot& slot) const {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < slot.count; ++i) {
    if (slot.labels[i] == kLeftOut) continue;
    if (kept != i) {
      std::copy_n(&slot.images[i * floats_], floats_, &slot.images[kept * floats_]);
      slot.labels[kept] = slot.labels[i];
    }
    ++kept;
  }
  return kept;
}

void ReadAhead::read(const std::stop_token& stop, ImageReader& reader) {
  std::unique_lock lock(mutex_);
  while (work_.wait(lock, stop,
                    [&] { return !paused_ && (untaken() || planned_ - released_ < kBatches); })) {
    if (stop.stop_requested()) return;
    if (!untaken()) {
      Slot& fresh = slot(planned_);
      fresh.count = plan_(fresh.draws);
      fresh.taken = fresh.done = 0;
      ++planned_;
      if (fresh.count == 0) ready_.notify_one();
      work_.notify_all();
      continue;
    }
    Slot& current = slot(planned_ - 1);
    const std::size_t i = current.taken++;
    ++decoding_;
    lock.unlock();
    const double since = thread_seconds();
    fill(reader, current.draws[i], &current.images[i * floats_], current.labels[i]);
    set_.files->log().add_image(thread_seconds() - since);
    lock.lock();
    --decoding_;
    if (++current.done == current.count || paused_) ready_.notify_one();
  }
}

void ReadAhead::fill(ImageReader& reader, const Draw& draw, float* out, std::int32_t& label) {
  std::size_t image = draw.image;
  Error last;
  Rng replacements(draw.stream, kReplacement);
  for (int attempt = 0; attempt <= kMostReplacements; ++attempt) {
    Result<> got = success();
    try {
      got = reader.read(image, Rng(draw.stream), out);
    } catch (const std::exception& error) {
      got = fail(std::errc::not_enough_memory, "cannot be decoded: {}", error.what());
    }
    if (got) {
      label = set_.labels[image];
      return;
    }
    last = got.error();
    unreadable(image, last);
    if (options_.unreadable == Unreadable::leave_out) {
      label = kLeftOut;
      return;
    }
    image = replacements.below(set_.size());
  }
  set_.files->log().give_up(
      fail(std::errc::io_error,
           "{} images in a row could not be read (the last: {}): check the disk and the files",
           kMostReplacements + 1, last.message));
  std::fill_n(out, floats_, 0.0F);  // the mean; whoever uses this set hears of it
  label = set_.labels[draw.image];
}

void ReadAhead::unreadable(std::size_t image, const Error& error) {
  const ImageFiles& files = *set_.files;
  const std::size_t skipped = files.log().skip(files.name(image), error.message);
  if (2 * skipped > set_.size()) {
    files.log().give_up(
        fail(std::errc::io_error,
             "{} of {} images cannot be read, {} among them ({}): check the disk and the files",
             skipped, set_.size(), files.name(image), error.message));
  }
}

}  // namespace paceline
