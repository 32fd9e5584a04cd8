#include "paceline/compute/cpu/pooling_kernels_internal.h"

#include <algorithm>
#include <type_traits>

#include "paceline/compute/cpu/lanes_internal.h"
#include "paceline/compute/cpu/vectorise_internal.h"

namespace paceline::pooling {
namespace {

/// Taps are told in integers as wide as floats: GCC 12 makes single steps of narrower ones.
template <class V>
struct Integers;
template <>
struct Integers<Lanes16> {
  using type [[gnu::vector_size(64)]] = std::uint32_t;
};
template <>
struct Integers<Lanes8> {
  using type [[gnu::vector_size(32)]] = std::uint32_t;
};
template <>
struct Integers<float> {
  using type = std::uint32_t;
};
template <class V>
using Words = typename Integers<V>::type;

/// In every lane. (Added to a vector, GCC 12 would put it in lane by lane.)
template <class To, class T>
[[gnu::always_inline]] inline To in_every_lane(T value) {
  T values[sizeof(To) / sizeof(T)];
  for (T& each : values) each = value;
  return load<To>(values);
}
template <class V>
[[gnu::always_inline]] inline Words<V> same(std::uint32_t word) {
  return in_every_lane<Words<V>>(word);
}

/// How many winners share a word.
constexpr std::size_t kSharing = 4;
bool bytes_will_do(const Windows& w) { return w.taps() < 255; }
template <std::size_t kWinners>
constexpr std::uint32_t kNobody = kWinners == 1 ? ~0u : 255u;
template <std::size_t kWinners>
[[gnu::always_inline]] inline std::uint32_t in_word(std::uint32_t winner, std::size_t which) {
  return winner << (32 / kWinners % 32 * which);
}

/// Calls f.operator()<kLanes>(lanes) with constants for whole blocks, where each pixel is few
/// instructions; otherwise kLanes is 0.
template <class F>
[[gnu::always_inline]] inline void with_constant(std::size_t lanes, F f) {
  if (lanes == 16)
    f.template operator()<16>(16);
  else if (lanes == 8)
    f.template operator()<8>(8);
  else
    f.template operator()<0>(lanes);
}

/// Where the pixels lie that one window sees.
struct Box {
  std::size_t offset;         // of the first one, in floats
  std::size_t rows, columns;  // how many
  std::size_t tap, taps;      // of the first one; from a row to the next
};

struct Layout {
  Layout(const Windows& w, std::size_t lanes_)
      : lanes(lanes_),
        row(w.width.windows.size() * lanes),
        out(w.width.pixels.size()),
        kernel(w.height.kernel == w.width.kernel ? w.width.kernel : 0) {}
  std::size_t lanes, row, out;
  std::size_t kernel;  // of square windows
};

[[gnu::always_inline]] inline Box box(const Windows& w, const Layout& l, std::size_t oy,
                                      std::size_t ox) {
  const Range rows = w.height.pixels[oy], columns = w.width.pixels[ox];
  return {rows.first * l.row + columns.first * l.lanes, rows.count(), columns.count(),
          w.height.place(rows.first, oy) * w.width.kernel + w.width.place(columns.first, ox),
          w.width.kernel};
}
/// The same where nothing is cut off, with constants: what loops over it is unrolled.
template <std::size_t kKernel>
[[gnu::always_inline]] inline Box whole_box(const Windows& w, const Layout& l, std::size_t oy,
                                            std::size_t ox) {
  return {w.height.pixels[oy].first * l.row + w.width.pixels[ox].first * l.lanes, kKernel, kKernel,
          0, kKernel};
}

/// A whole strip, two rows ahead: what the processor fetches of itself is the next pixels of a row, and
/// rows are short. @param p  may be past the end
template <class V>
[[gnu::always_inline]] inline void prefetch(const float* p) {
  if constexpr (!std::is_same_v<V, float>) __builtin_prefetch(p);
}

/// @param from  x at a lane. @param which  place of the winner in its word. @return the winner there
template <class V, std::size_t kWinners>
[[gnu::always_inline]] inline Words<V> largest_of(const Box& b, const Layout& l, std::size_t which,
                                                  bool positive, const float* from, float* to) {
  from += b.offset;
  V best = load<V>(from);
  prefetch<V>(from + 2 * l.row);
  Words<V> winner{};
  if constexpr (kWinners > 0)
    winner = same<V>(in_word<kWinners>(static_cast<std::uint32_t>(b.tap), which));
  for (std::size_t r = 0; r < b.rows; ++r)
    for (std::size_t c = r == 0 ? 1 : 0; c < b.columns; ++c) {
      const V v = load<V>(from + r * l.row + c * l.lanes);
      prefetch<V>(from + (r + 2) * l.row + c * l.lanes);
      const auto larger = v > best;
      best = larger ? v : best;
      if constexpr (kWinners > 0) {
        const std::uint32_t tap = static_cast<std::uint32_t>(b.tap + r * b.taps + c);
        winner = larger ? same<V>(in_word<kWinners>(tap, which)) : winner;
      }
    }
  store(to, best);
  if constexpr (kWinners > 0)
    if (positive)
      winner = best > V{} ? winner : same<V>(in_word<kWinners>(kNobody<kWinners>, which));
  return winner;
}

/// @param kWinners  a word; 0: they are not wanted
template <std::size_t kWinners, std::size_t kLanes>
[[gnu::always_inline]] inline void take(const Windows& w, std::size_t lanes, bool positive,
                                        const float* x, float* y, std::uint32_t* winners) {
  constexpr std::size_t kGroup = std::max<std::size_t>(kWinners, 1);
  const Layout l(w, lanes);
  for (std::size_t oy = 0; oy < w.height.pixels.size(); ++oy)
    for (std::size_t ox = 0; ox < l.out; ox += kGroup) {
      const std::size_t group = std::min(kGroup, l.out - ox);
      const auto take_group = [&](std::size_t count, auto make) __attribute__((always_inline)) {
        for_each_strip(
            lanes, [&]<class V>(std::size_t lane) __attribute__((always_inline)) {
              Words<V> word{};
              for (std::size_t k = 0; k < count; ++k)
                word |= largest_of<V, kWinners>(make(ox + k), l, k, positive, x + lane,
                                                y + (oy * l.out + ox + k) * lanes + lane);
              if constexpr (kWinners > 0) store(winners + lane, word);
            });
      };
      const auto whole = [&](std::size_t kernel) {
        return kLanes > 0 && l.kernel == kernel && group == kGroup &&
               w.height.pixels[oy].count() == kernel && w.width.pixels[ox].count() == kernel &&
               w.width.pixels[ox + kGroup - 1].count() == kernel;
      };
      if (whole(2))
        take_group(
            kGroup, [&](std::size_t at)
                        __attribute__((always_inline)) { return whole_box<2>(w, l, oy, at); });
      else if (whole(3))
        take_group(
            kGroup, [&](std::size_t at)
                        __attribute__((always_inline)) { return whole_box<3>(w, l, oy, at); });
      else
        take_group(
            group, [&](std::size_t at)
                       __attribute__((always_inline)) { return box(w, l, oy, at); });
      if constexpr (kWinners > 0) winners += lanes;
    }
}

template <std::size_t kWinners>
[[gnu::always_inline]] inline void take_largest(const Windows& w, std::size_t lanes, bool positive,
                                                const float* x, float* y, std::uint32_t* winners) {
  with_constant(
      lanes, [&]<std::size_t kLanes>(std::size_t n) __attribute__((always_inline)) {
        take<kWinners, kLanes>(w, n, positive, x, y, winners);
      });
}

/// What windows give back to their pixels: dy to the winners, or (kWinners is 0) a share of it to all.
/// Row by row of pixels, since memory takes one stream faster than several.
/// @param kTiled  windows lie side by side: each writes its own pixels; else a row, in the caches, is
///                cleared and added to
template <std::size_t kWinners, bool kTiled, std::size_t kLanes>
[[gnu::always_inline]] inline void give(const Windows& w, std::size_t lanes, const float* dy,
                                        const std::uint32_t* winners, float* dx) {
  constexpr std::size_t kGroup = std::max<std::size_t>(kWinners, 1);
  const std::size_t out = w.width.pixels.size(), words = (out + kGroup - 1) / kGroup;
  const std::size_t in = w.width.windows.size(), kernel = w.width.kernel;
  const float share = 1.0f / static_cast<float>(w.taps());
  for (std::size_t iy = 0; iy < w.height.windows.size(); ++iy, dx += in * lanes) {
    const Range rows = w.height.windows[iy];
    const std::size_t written = kTiled && rows.count() > 0 ? out * kernel : 0;
    std::fill_n(dx + written * lanes, (in - written) * lanes, 0.0f);
    for (std::size_t oy = rows.first; oy < rows.last; ++oy)
      for (std::size_t ox = 0; ox < out; ox += kGroup) {
        const std::size_t row_tap = w.height.place(iy, oy) * kernel;
        /// @param tiles  how many pixels a tile has in a row
        const auto give_group = [&](std::size_t group, std::size_t tiles)
            __attribute__((always_inline)) {
          for_each_strip(
              lanes, [&]<class V>(std::size_t lane) __attribute__((always_inline)) {
                Words<V> word{}, of_row{};
                if constexpr (kWinners > 0) {
                  word = load<Words<V>>(winners + (oy * words + ox / kGroup) * lanes + lane);
                  of_row = same<V>(static_cast<std::uint32_t>(row_tap));
                }
                for (std::size_t k = 0; k < group; ++k) {
                  const Range all = kTiled ? Range{} : w.width.pixels[ox + k];
                  const std::size_t first = kTiled ? (ox + k) * tiles : all.first;
                  const std::size_t columns = kTiled ? tiles : all.count();
                  V d = load<V>(dy + (oy * out + ox + k) * lanes + lane);
                  Words<V> winner = word, tap = of_row;
                  if constexpr (kWinners == 0) d *= in_every_lane<V>(share);
                  if constexpr (kWinners > 0 && !kTiled)
                    if (const std::size_t cut = w.width.place(first, ox + k); cut > 0)
                      tap = same<V>(static_cast<std::uint32_t>(row_tap + cut));
                  if constexpr (kWinners > 1) {
                    winner = word & same<V>(kNobody<kWinners>);
                    word >>= 32 / kWinners;
                  }
                  float* to = dx + first * lanes + lane;
                  for (std::size_t c = 0; c < columns; ++c, to += lanes) {
                    V part = d;
                    if constexpr (kWinners > 0) part = winner == tap ? d : V{};
                    store(to, kTiled ? part : load<V>(to) + part);
                    tap += 1;
                  }
                }
              });
        };
        if (out - ox < kGroup)
          give_group(out - ox, kernel);
        else if (kLanes > 0 && kTiled && kernel == 2)
          give_group(kGroup, 2);
        else
          give_group(kGroup, kernel);
      }
  }
}

template <std::size_t kWinners>
[[gnu::always_inline]] inline void give_back(const Windows& w, std::size_t lanes, const float* dy,
                                             const std::uint32_t* winners, float* dx) {
  with_constant(
      lanes, [&]<std::size_t kLanes>(std::size_t n) __attribute__((always_inline)) {
        if (w.height.tiled() && w.width.tiled())
          give<kWinners, true, kLanes>(w, n, dy, winners, dx);
        else
          give<kWinners, false, kLanes>(w, n, dy, winners, dx);
      });
}

}  // namespace

std::size_t winner_words(const Windows& w) {
  const std::size_t sharing = bytes_will_do(w) ? kSharing : 1;
  return w.height.pixels.size() * ((w.width.pixels.size() + sharing - 1) / sharing);
}

PACELINE_TARGET_CLONES
void largest(const Windows& w, std::size_t lanes, const float* x, float* y) {
  take_largest<0>(w, lanes, false, x, y, nullptr);
}

PACELINE_TARGET_CLONES
void largest(const Windows& w, std::size_t lanes, bool positive, const float* x, float* y,
             std::uint32_t* winners) {
  if (bytes_will_do(w))
    take_largest<kSharing>(w, lanes, positive, x, y, winners);
  else
    take_largest<1>(w, lanes, positive, x, y, winners);
}

PACELINE_TARGET_CLONES
void give_to_winners(const Windows& w, std::size_t lanes, const float* dy,
                     const std::uint32_t* winners, float* dx) {
  if (bytes_will_do(w))
    give_back<kSharing>(w, lanes, dy, winners, dx);
  else
    give_back<1>(w, lanes, dy, winners, dx);
}

PACELINE_TARGET_CLONES
void mean(const Windows& w, std::size_t lanes, const float* x, float* y) {
  const float share = 1.0f / static_cast<float>(w.taps());
  const Layout l(w, lanes);
  for (std::size_t oy = 0; oy < w.height.pixels.size(); ++oy)
    for (std::size_t ox = 0; ox < l.out; ++ox, y += lanes) {
      const Box b = box(w, l, oy, ox);
      for_each_strip(
          lanes, [&]<class V>(std::size_t lane) __attribute__((always_inline)) {
            const float* const from = x + b.offset + lane;
            V sum{};
            for (std::size_t r = 0; r < b.rows; ++r) {
              V of_row{};
              for (std::size_t c = 0; c < b.columns; ++c)
                of_row += load<V>(from + r * l.row + c * lanes);
              sum += of_row;
            }
            store(y + lane, sum * in_every_lane<V>(share));
          });
    }
}

PACELINE_TARGET_CLONES
void give_to_all(const Windows& w, std::size_t lanes, const float* dy, float* dx) {
  give_back<0>(w, lanes, dy, nullptr, dx);
}

}  // namespace paceline::pooling
