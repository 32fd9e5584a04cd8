// Random numbers that are the same on every machine and in every standard library: splitmix64, one
// stream a consumer.
#pragma once

#include <cmath>
#include <cstdint>

namespace paceline {

/// A stream of random numbers; copying it copies the position. Not thread-safe: one owner.
/// @source Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators" (splitmix64)
class Rng {
 public:
  explicit Rng(std::uint64_t seed = 0) : state_(seed) {}
  /// A stream of its own for (seed, stream): neighbours share nothing visible.
  Rng(std::uint64_t seed, std::uint64_t stream) : state_(seed) {
    state_ = next() ^ (stream * 0xd1342543de82ef95ull);
    state_ = next();
  }

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  /// In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  /// In [0, n); n > 0.
  std::uint64_t below(std::uint64_t n) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * n) >> 64);
  }
  /// Standard normal (Box-Muller; two draws a number, none kept).
  double normal() {
    const double u = 1.0 - uniform(), v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

  std::uint64_t state() const { return state_; }
  void restore(std::uint64_t state) { state_ = state; }

 private:
  std::uint64_t state_;
};

}  // namespace paceline
