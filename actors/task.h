// The coroutine type of protocols: lazy, awaited by one, destroyed with its owner. Threading: a
// task runs on one thread at a time; whoever parked it resumes it.
//   TK-1 Destroying a parked task destroys its frame and those it awaits: what they hold (pins,
//        loans) goes with them; nothing is unwound and nothing runs afterwards.
//   TK-2 An awaited child runs inside await_suspend, as a call would: g++ 12 turns symmetric
//        transfer into a tail call only when it optimises, and a long loop would overflow the
//        stack.
//   TK-3 Write co_await as a statement or an initialiser: g++ 12.2 silently miscompiles `if
//        (co_await ...)`, and destroys brace-initialised temporaries inside such an expression
//        twice.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace paceline {

template <class T = void>
class Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> awaiting;
  std::exception_ptr error;

  struct Final {
    bool await_ready() noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> ended) noexcept {
      if (auto next = ended.promise().awaiting) next.resume();  // may destroy `ended`
    }
    void await_resume() noexcept {}
  };
  std::suspend_always initial_suspend() noexcept { return {}; }
  Final final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  void return_value(T v) { value.emplace(std::move(v)); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() noexcept {}
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    Task old(std::move(other));
    std::swap(handle_, old.handle_);
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  /// Runs until the task parks or ends. @pre !done()
  void resume() { handle_.resume(); }
  /// Ended, or never was.
  bool done() const { return !handle_ || handle_.done(); }
  /// What escaped from the coroutine, if anything did.
  std::exception_ptr error() const { return handle_ ? handle_.promise().error : nullptr; }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> awaiting) {
    handle_.resume();
    if (handle_.done()) return false;
    handle_.promise().awaiting = awaiting;
    return true;
  }
  T await_resume() {
    if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
    if constexpr (!std::is_void_v<T>) return std::move(*handle_.promise().value);
  }

 private:
  Handle handle_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace paceline
