// The one vocabulary that every folder shares: how an expected failure is returned and how a bug
// ends the program.
//   RS-1 What a caller can run into (a missing file, a full disk, a peer that is gone) is a Result,
//        never an exception.
//   RS-2 An Error's message is one line that names the cause and the remedy; whoever first decides
//        the error writes it.
//   RS-3 A broken precondition is a bug: PACELINE_CHECK prints where and why, and aborts.
#pragma once

#include <fmt/format.h>

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace paceline {

/// What went wrong: a code for programs, one line for people.
struct Error {
  std::error_code code;
  std::string message;
};

/// A value or an Error. `.value()` of a failure aborts: test first, or use PACELINE_TRY.
template <class T = void>
using Result = boost::outcome_v2::basic_result<T, Error, boost::outcome_v2::policy::terminate>;

/// Makes a failure: `return fail(std::errc::no_such_file_or_directory, "no {}: run tools/fetch-data", path);`
/// @param code  a std::error_code, or any enumeration that makes one
template <class Code, class... Args>
[[nodiscard]] Error fail(Code code, fmt::format_string<Args...> text, Args&&... args) {
  using std::make_error_code;
  if constexpr (std::is_same_v<Code, std::error_code>)
    return Error{code, fmt::format(text, std::forward<Args>(args)...)};
  else
    return Error{make_error_code(code), fmt::format(text, std::forward<Args>(args)...)};
}

/// Makes a failure out of `errno`; the system's own words are appended.
template <class... Args>
[[nodiscard]] Error fail_errno(int number, fmt::format_string<Args...> text, Args&&... args) {
  const std::error_code code(number, std::generic_category());
  return Error{code, fmt::format(text, std::forward<Args>(args)...) + ": " + code.message()};
}

inline Result<> success() { return boost::outcome_v2::success(); }

}  // namespace paceline

/// PACELINE_TRY(auto value, expression): binds the value or returns the failure to the caller.
#define PACELINE_TRY(declaration, ...) \
  PACELINE_TRY_AS(PACELINE_JOIN(paceline_result_, __LINE__), declaration, __VA_ARGS__)
/// PACELINE_TRYV(expression): goes on or returns the failure to the caller.
#define PACELINE_TRYV(...)                                      \
  do {                                                          \
    if (auto paceline_result = (__VA_ARGS__); !paceline_result) \
      return std::move(paceline_result).error();                \
  } while (false)
#define PACELINE_TRY_AS(result, declaration, ...) \
  auto result = (__VA_ARGS__);                    \
  if (!result) return std::move(result).error();  \
  declaration = std::move(result).value()
#define PACELINE_JOIN(a, b) PACELINE_JOIN_TOKENS(a, b)
#define PACELINE_JOIN_TOKENS(a, b) a##b

/// Aborts with a message when a precondition does not hold: for bugs, never for input.
#define PACELINE_CHECK(condition, ...)                                        \
  do {                                                                        \
    if (!(condition)) {                                                       \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
                   fmt::format(__VA_ARGS__).c_str());                         \
      std::abort();                                                           \
    }                                                                         \
  } while (false)
