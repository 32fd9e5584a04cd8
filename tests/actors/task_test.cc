#include "paceline/actors/task.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "paceline/net/arena.h"

namespace paceline {
namespace {

/// Parks whoever awaits it.
struct Park {
  std::coroutine_handle<>* parked;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> task) { *parked = task; }
  void await_resume() const {}
};
Park park(std::coroutine_handle<>& parked) { return {&parked}; }

struct Guard {
  explicit Guard(int& count) : alive(count) { ++alive; }
  ~Guard() { --alive; }
  Guard(const Guard&) = delete;
  int& alive;
};

Task<int> inner(std::coroutine_handle<>& parked, int& alive) {
  Guard guard(alive);
  co_await park(parked);
  co_return 42;
}
Task<> outer(std::coroutine_handle<>& parked, int& alive, int& result) {
  Guard guard(alive);
  result = co_await inner(parked, alive);
}

TEST(Task, RunsToItsEndWhenResumedWhereItParked) {
  std::coroutine_handle<> parked;
  int alive = 0, result = 0;
  Task<> task = outer(parked, alive, result);
  EXPECT_EQ(alive, 0) << "lazy";
  task.resume();
  EXPECT_FALSE(task.done());
  EXPECT_EQ(alive, 2);
  parked.resume();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(result, 42);
  EXPECT_EQ(alive, 0);
}

TEST(Task, DestroyingAParkedTaskDestroysTheFramesThatItAwaits) {
  std::coroutine_handle<> parked;
  int alive = 0, result = 0;
  {
    Task<> task = outer(parked, alive, result);
    task.resume();
    EXPECT_EQ(alive, 2);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(result, 0);
}

Task<> hold(std::coroutine_handle<>& parked, Slot slot) {
  Pin pin = slot.pin();
  auto loan = slot.loan();
  co_await park(parked);
}

TEST(Task, PinsAndLoansOfACancelledTaskGoBack) {
  auto arena = Arena::local({.name = "task", .slots = {{64}}});
  ASSERT_TRUE(arena);
  Slot slot = arena.value().slot(0);
  std::move(*slot.loan()).publish();
  for (int i = 0; i < 10; ++i) {  // three buffers: two leaks would show
    std::coroutine_handle<> parked;
    Task<> task = hold(parked, slot);
    task.resume();
  }
  for (int i = 0; i < 10; ++i) {
    auto loan = slot.loan();
    ASSERT_TRUE(loan);
    std::move(*loan).publish();
  }
  EXPECT_EQ(slot.version(), 11u);
}

Task<int> thrower() {
  throw std::runtime_error("inside");
  co_return 0;
}
Task<> caller(std::string& what) {
  try {
    co_await thrower();
  } catch (const std::runtime_error& e) {
    what = e.what();
  }
  co_await thrower();
}

TEST(Task, AnExceptionSurfacesAtTheAwaitAndThenInTheTask) {
  std::string what;
  Task<> task = caller(what);
  task.resume();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(what, "inside");
  EXPECT_TRUE(task.error());
}

Task<int> immediate(int i) { co_return i; }
Task<> long_loop(long n, long& sum) {
  for (long i = 0; i < n; ++i) sum += co_await immediate(1);
}

TEST(Task, AwaitingAMillionFinishedTasksNeedsNoStack) {
  long sum = 0;
  Task<> task = long_loop(1'000'000, sum);
  task.resume();
  EXPECT_EQ(sum, 1'000'000);
}

}  // namespace
}  // namespace paceline
