// Whose turn it is to touch what a fabric knows of its connections. Private to net/. Threading:
// functions from any thread, but those marked.
//   TU-1 One thread at a time has the turn: the I/O thread, for each of its handlers, or a thread that
//        waits for an answer (begin_here()). Nobody waits for it while it holds something of the user's:
//        who finds it taken leaves his wish to the I/O thread.
//   TU-2 At the end of each turn, still in it, what it has left to do is done (`at_end`).
//   TU-3 Who waits for an answer is woken after the turn that has brought it (after()): he may want
//        the next one at once.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace paceline {

class Turns {
 public:
  /// @param at_end  may be empty
  explicit Turns(std::function<void()> at_end) : at_end_(std::move(at_end)) {}

  boost::asio::io_context& context() { return context_; }

  /// On the I/O thread, in a turn.
  template <class F>
  void post(F work) {
    boost::asio::post(context_, handler(std::move(work)));
  }

  /// @return what takes a turn for each of its calls; for asio
  template <class F>
  auto handler(F work) {
    return [this, work = std::move(work)](const auto&... of) mutable {
      run(std::unique_lock(mutex_), [&] { work(of...); });
    };
  }

  /// Does it in a turn on this thread, if there is one to have.
  template <class F>
  bool begin_here(F&& work) {
    if (is_mine()) return false;
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return false;
    run(std::move(lock), work);
    return true;
  }

  /// In a turn: what is done when it is over, on its thread.
  void after(std::function<void()> work) { after_.push_back(std::move(work)); }

  bool is_mine() const { return holder_.load() == std::this_thread::get_id(); }

 private:
  template <class F>
  void run(std::unique_lock<std::mutex> lock, F&& work) {
    holder_ = std::this_thread::get_id();
    work();
    if (at_end_) at_end_();
    holder_ = std::thread::id();
    const auto after = std::exchange(after_, {});
    lock.unlock();
    for (const auto& each : after) each();
  }

  const std::function<void()> at_end_;
  boost::asio::io_context context_;
  std::mutex mutex_;
  std::atomic<std::thread::id> holder_{};
  std::vector<std::function<void()>> after_;
};

}  // namespace paceline
