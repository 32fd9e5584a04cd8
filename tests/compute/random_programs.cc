#include "compute/operation_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "paceline/compute/random.h"

namespace paceline::test {
namespace {

std::size_t between(Rng& rng, std::size_t low, std::size_t high) {
  return low + static_cast<std::size_t>(rng.below(high - low + 1));
}

Row random_chain(std::size_t index, Rng& rng) {
  const Shape image{between(rng, 1, 4), between(rng, 3, 10), between(rng, 3, 10)};
  const std::size_t kernel = between(rng, 1, 3), channels = between(rng, 1, 20);
  std::vector<Link> links = {
      {Convolution{kernel, between(rng, 1, 2), between(rng, 0, kernel - 1)}, between(rng, 1, 20)}};
  if (rng.below(2) != 0) links.push_back({Relu{}});
  if (rng.below(2) != 0) links.push_back({MaxPool{1, between(rng, 1, 2)}});
  if (rng.below(2) != 0) links.push_back({Dropout{rng.uniform() * 0.8}});
  if (rng.below(2) != 0) links.insert(links.end(), {{Linear{}, between(rng, 1, 40)}, {Relu{}}});
  return {fmt::format("Random_{}", index), inside(image, channels, links), between(rng, 1, 5)};
}

/// Appends a random operation of `input`, if what was drawn suits its shape.
/// @param images  of the batch
void append(ProgramSketch& sketch, std::size_t input, std::size_t images, Rng& rng) {
  const Shape in = sketch.shape(input);
  const std::size_t side = std::min(in.height, in.width);
  switch (rng.below(9)) {
    case 0:
    case 1: {
      const std::size_t kernel = between(rng, 1, std::min<std::size_t>(side, 3));
      sketch.apply(
          {Convolution{kernel, between(rng, 1, 2), between(rng, 0, kernel / 2), rng.below(2) != 0},
           between(rng, 1, 20)},
          input);
      return;
    }
    case 2:
    case 3:
      // Over very few values, or a constant, the normalised ones are all but signs: no place to
      // compare single with double precision.
      if (images * in.height * in.width < 16) return;
      input = sketch.apply({BatchNorm{}}, input);
      if (rng.below(3) != 0) sketch.apply({Relu{}}, input);
      return;
    case 4:
      sketch.apply({Relu{}}, input);
      return;
    case 5: {
      const std::size_t kernel = between(rng, 1, std::min<std::size_t>(side, 3));
      const std::size_t stride = between(rng, 1, 2);
      if (rng.below(2) != 0)
        sketch.apply({MaxPool{kernel, stride, between(rng, 0, kernel / 2)}}, input);
      else
        sketch.apply({AveragePool{kernel, stride}}, input);
      return;
    }
    case 6: {
      // Always with something in its zeros, and read by nothing else: of a constant, BatchNorms
      // make what rounding happens to leave.
      const std::size_t stride = between(rng, 1, 2),
                        channels = in.channels + 2 * between(rng, 0, 4);
      const std::size_t padded = sketch.apply({PaddedShortcut{stride}, channels}, input);
      sketch.add(sketch.apply({Convolution{1, stride, 0}, channels}, input), padded);
      return;
    }
    case 7:
      sketch.apply({Dropout{rng.uniform() * 0.6}}, input);
      return;
    default:
      if (side > 1 && rng.below(3) == 0) sketch.apply({GlobalAveragePool{}}, input);
  }
}

/// Any operations in any order, most of what was written last, some of what was written before;
/// additions where two of one shape are found. In the end each loose end has a linear layer, and
/// their sum is the logits; smoothed labels keep a gradient that logits so large would not leave.
Row random_graph(std::size_t index, Rng& rng) {
  const std::size_t images = between(rng, 1, 4);
  ProgramSketch sketch({between(rng, 1, 4), between(rng, 3, 10), between(rng, 3, 10)});
  sketch.then({Convolution{3, 1, 1}, between(rng, 1, 20)});
  const auto any = [&] {
    std::size_t activation = between(rng, 1, sketch.last());
    while (std::holds_alternative<PaddedShortcut>(sketch.writer(activation))) ++activation;
    return activation;
  };
  const std::size_t operations = between(rng, 4, 14);
  for (std::size_t k = 0; k < operations; ++k) {
    const std::size_t first = any(), input = rng.below(3) == 0 ? first : sketch.last();
    append(sketch, input, images, rng);
    const std::size_t other = any();
    if (sketch.shape(other) == sketch.shape(sketch.last()) && rng.below(2) == 0)
      sketch.add(sketch.last(), other);
  }
  std::vector<std::size_t> ends;
  for (const std::size_t end : sketch.loose_ends())
    ends.push_back(sketch.apply({Linear{}, kClasses}, end));
  std::size_t sum = ends.front();
  for (std::size_t k = 1; k < ends.size(); ++k) sum = sketch.add(sum, ends[k]);
  return {fmt::format("RandomGraph_{}", index), sketch.finish({0.1}), images};
}

}  // namespace

std::vector<Row> random_rows(std::uint64_t seed) {
  std::vector<Row> rows;
  Rng chains(seed), graphs(seed, 1);
  for (std::size_t k = 0; k < 20; ++k) rows.push_back(random_chain(k, chains));
  for (std::size_t k = 0; k < 40; ++k) rows.push_back(random_graph(k, graphs));
  return rows;
}

}  // namespace paceline::test
