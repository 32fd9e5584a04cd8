#include "paceline/layers/network_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>
#include <set>

#include "paceline/layers/nearest.h"
#include "paceline/layers/network_words_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kMostBytes = 1 << 20, kMostLayers = 4096, kMostNameLetters = 100;
constexpr std::size_t kMostCount = (std::size_t{1} << 31) - 1;

struct Setting {
  std::string_view word, example;
};
constexpr std::array kSettings = {Setting{"image", "image 3x32x32"},
                                  Setting{"classes", "classes 10"}, Setting{"crop", "crop 28x28"},
                                  Setting{"learning-rate", "learning-rate 0.05"},
                                  Setting{"initialise", "initialise resnet"}};

// --- Words

template <class Number>
std::optional<Number> read(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::size_t> read_count(std::string_view text) {
  const auto value = read<std::size_t>(text);
  return value && *value <= kMostCount ? value : std::nullopt;
}

/// "3x3" as {3, 3}.
std::optional<std::vector<std::size_t>> read_sides(std::string_view text, std::size_t sides) {
  std::vector<std::size_t> all;
  while (all.size() < sides) {
    const std::size_t end = text.find('x');
    if ((end == std::string_view::npos) != (all.size() + 1 == sides)) return std::nullopt;
    const auto side = read_count(text.substr(0, end));
    if (!side) return std::nullopt;
    all.push_back(*side);
    text.remove_prefix(std::min(end, text.size() - 1) + 1);
  }
  return all;
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; (at = line.find_first_not_of(" \t", at)) != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(" \t", at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::string meant = nearest(word, known);
  return meant.empty() ? fmt::format("it is one of {}", fmt::join(known, ", "))
                       : fmt::format("did you mean '{}'?", meant);
}

class Parser {
 public:
  explicit Parser(const std::string& file) {
    network_.file = file;
    network_.name = std::filesystem::path(file).stem().string();
    std::ranges::replace_if(
        network_.name, [](unsigned char c) { return c < 0x20; }, '_');
  }
  Result<NetworkDescription> parse(std::string_view text) &&;

 private:
  Result<> parse_line();
  Result<> parse_setting(const Setting& setting);
  Result<> parse_layer(const LayerWord& word, std::string_view name);
  Result<> parse_option(LayerDescription& layer, std::string_view option);
  Result<std::string> parse_name(std::string_view name) const;

  // The line's next word; an error that says what it should have been.
  Result<std::string_view> take(std::string_view what);
  Result<std::size_t> take_count(std::string_view what);
  Result<double> take_real(std::string_view what);
  Result<std::size_t> take_window();

  template <class... Args>
  Error wrong(fmt::format_string<Args...> text, Args&&... args) const {
    return fail(std::errc::invalid_argument, "{}:{}: {}", network_.file, line_number_,
                fmt::format(text, std::forward<Args>(args)...));
  }
  Error wrong_here(std::string_view what) const {
    return wrong("'{}' {}: write for instance '{}'", fmt::join(words_, " "), what, example_);
  }

  NetworkDescription network_;
  std::set<std::string_view> settings_;  ///< seen
  std::size_t line_number_ = 0;
  std::vector<std::string_view> words_;  ///< of the line
  std::size_t next_ = 0;
  std::string_view example_;  ///< of a line like this one
};

Result<NetworkDescription> Parser::parse(std::string_view text) && {
  if (text.size() > kMostBytes) {
    return fail(
        std::errc::invalid_argument,
        "{}: is larger than {} bytes, which no network needs: give a text file with a layer "
        "a line",
        network_.file, kMostBytes);
  }
  while (!text.empty()) {
    ++line_number_;
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = line.substr(0, line.find('#'));
    const auto odd = std::ranges::find_if(
        line, [](unsigned char c) { return (c < 0x20 && c != '\t') || c >= 0x7f; });
    if (odd != line.end()) {
      return wrong(
          "holds the byte 0x{:02x}, which is no text: give a text file with a layer a line",
          static_cast<unsigned char>(*odd));
    }
    words_ = split(line);
    next_ = 0;
    if (!words_.empty()) PACELINE_TRYV(parse_line());
    if (network_.layers.size() > kMostLayers) return wrong("more than {} layers", kMostLayers);
  }
  if (network_.layers.empty()) {
    return fail(std::errc::invalid_argument,
                "{}: holds no layers: write one a line and end with 'linear classes'",
                network_.file);
  }
  return std::move(network_);
}

Result<> Parser::parse_line() {
  std::string_view name;
  if (words_[0].ends_with(':')) {
    name = words_[0].substr(0, words_[0].size() - 1);
    next_ = 1;
    if (words_.size() == 1) {
      example_ = "first: conv 64 3x3 pad 1";
      return wrong_here("names no layer");
    }
  }
  const std::string_view word = words_[next_++];
  if (const auto* layer = std::ranges::find(kLayerWords, word, &LayerWord::word);
      layer != kLayerWords.end()) {
    example_ = layer->example;
    return parse_layer(*layer, name);
  }
  if (const auto* setting = std::ranges::find(kSettings, word, &Setting::word);
      setting != kSettings.end()) {
    example_ = setting->example;
    if (next_ != 1) return wrong_here("names a setting");
    return parse_setting(*setting);
  }
  std::vector<std::string> known;
  for (const LayerWord& layer : kLayerWords) known.emplace_back(layer.word);
  for (const Setting& setting : kSettings) known.emplace_back(setting.word);
  return wrong("'{}' is neither a layer nor a setting: {}", word.substr(0, kMostNameLetters),
               did_you_mean(word.substr(0, kMostNameLetters), known));
}

Result<> Parser::parse_setting(const Setting& setting) {
  if (!settings_.insert(setting.word).second) {
    return wrong("'{}' was set before: leave one of the lines out", setting.word);
  }
  if (setting.word == "image") {
    PACELINE_TRY(const std::string_view text, take("channels, height and width"));
    const auto image = parse_image(text);
    if (!image) return wrong_here("is no image's size");
    network_.image = image.value();
  } else if (setting.word == "classes") {
    PACELINE_TRY(network_.classes, take_count("a number of classes"));
  } else if (setting.word == "crop") {
    PACELINE_TRY(network_.crop, take_window());
    if (network_.crop == 0) return wrong_here("leaves nothing of an image");
  } else if (setting.word == "learning-rate") {
    PACELINE_TRY(network_.learning_rate, take_real("a rate"));
    if (!(network_.learning_rate > 0)) return wrong_here("is not above 0");
  } else {
    PACELINE_TRY(const std::string_view word, take("pytorch, resnet or vgg"));
    const auto* found = std::ranges::find(kInitialisations, word);
    if (found == kInitialisations.end()) {
      return wrong("'{}' is no initialisation: {}", word.substr(0, kMostNameLetters),
                   did_you_mean(word.substr(0, kMostNameLetters),
                                {kInitialisations.begin(), kInitialisations.end()}));
    }
    network_.initialisation = static_cast<Initialisation>(found - kInitialisations.begin());
  }
  if (next_ < words_.size()) return wrong_here("has a word too many");
  return success();
}

Result<> Parser::parse_layer(const LayerWord& word, std::string_view name) {
  LayerDescription layer;
  layer.name = default_layer_name(network_.layers, word.kind);
  layer.kind = word.kind;
  layer.line = line_number_;
  if (!name.empty() || words_[0].ends_with(':')) {
    PACELINE_TRY(layer.name, parse_name(name));
  }
  if (word.channels) {
    const bool linear = std::holds_alternative<Linear>(layer.kind);
    if (linear && next_ < words_.size() && words_[next_] == "classes") {
      ++next_;
    } else {
      PACELINE_TRY(layer.channels,
                   take_count(linear ? "a number of outputs" : "a number of channels"));
      if (layer.channels == 0) return wrong_here("makes nothing");
    }
  }
  if (std::size_t* const kernel = kernel_of(layer.kind)) {
    PACELINE_TRY(*kernel, take_window());
  }
  if (double* const probability = probability_of(layer.kind)) {
    PACELINE_TRY(*probability, take_real("a probability"));
  }
  if (std::holds_alternative<Add>(layer.kind)) {
    PACELINE_TRY(const std::string_view other, take("the name of a layer"));
    PACELINE_TRY(layer.other, parse_name(other));
  }
  if (std::size_t* const stride = stride_of(layer.kind)) *stride = default_stride(layer.kind);
  std::set<std::string_view> seen;
  while (next_ < words_.size()) {
    const std::string_view option = words_[next_++];
    if (!seen.insert(option).second) return wrong_here(fmt::format("has two '{}'", option));
    PACELINE_TRYV(parse_option(layer, option));
  }
  network_.layers.push_back(std::move(layer));
  return success();
}

Result<> Parser::parse_option(LayerDescription& layer, std::string_view option) {
  std::vector<std::string> known;
  const auto is = [&](const auto* present, std::string_view word) {
    if (present == nullptr) return false;
    known.emplace_back(word);
    return option == word;
  };
  if (std::size_t* const stride = stride_of(layer.kind); is(stride, "stride")) {
    PACELINE_TRY(*stride, take_count("a number of pixels after 'stride'"));
  } else if (std::size_t* const padding = padding_of(layer.kind); is(padding, "pad")) {
    PACELINE_TRY(*padding, take_count("a number of pixels after 'pad'"));
  } else if (bool* const bias = bias_of(layer.kind); is(bias, "no-bias")) {
    *bias = false;
  } else if (double* const epsilon = epsilon_of(layer.kind); is(epsilon, "epsilon")) {
    PACELINE_TRY(*epsilon, take_real("a number after 'epsilon'"));
  } else if (double* const momentum = momentum_of(layer.kind); is(momentum, "momentum")) {
    PACELINE_TRY(*momentum, take_real("a number after 'momentum'"));
  } else if (is(&layer, "from")) {
    PACELINE_TRY(const std::string_view input, take("the name of a layer after 'from'"));
    PACELINE_TRY(layer.input, parse_name(input));
  } else {
    return wrong_here(fmt::format("has '{}', which is no option here, {}",
                                  option.substr(0, kMostNameLetters), did_you_mean(option, known)));
  }
  return success();
}

Result<std::string> Parser::parse_name(std::string_view name) const {
  const bool good = !name.empty() && name.size() <= kMostNameLetters &&
                    std::ranges::all_of(name, [](unsigned char c) {
                      return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
                    });
  if (good) return std::string(name);
  return wrong("'{}' is no name: use 1 to {} letters, digits, '.', '_' and '-'",
               name.substr(0, kMostNameLetters), kMostNameLetters);
}

Result<std::string_view> Parser::take(std::string_view what) {
  if (next_ == words_.size()) return wrong_here(fmt::format("lacks {}", what));
  return words_[next_++];
}

Result<std::size_t> Parser::take_count(std::string_view what) {
  PACELINE_TRY(const std::string_view word, take(what));
  if (const auto value = read_count(word)) return *value;
  return wrong_here(fmt::format("has '{}' where {} up to {} belongs",
                                word.substr(0, kMostNameLetters), what, kMostCount));
}

Result<double> Parser::take_real(std::string_view what) {
  PACELINE_TRY(const std::string_view word, take(what));
  if (const auto value = read<double>(word); value && std::isfinite(*value)) return *value;
  return wrong_here(
      fmt::format("has '{}' where {} belongs", word.substr(0, kMostNameLetters), what));
}

Result<std::size_t> Parser::take_window() {
  PACELINE_TRY(const std::string_view word, take("a square such as 3x3"));
  const auto sides = read_sides(word, 2);
  if (sides && (*sides)[0] == (*sides)[1]) return (*sides)[0];
  return wrong_here(
      fmt::format("has '{}' where a square such as 3x3 belongs", word.substr(0, kMostNameLetters)));
}

Result<NetworkDescription> read_network_file(const std::string& file) {
  std::error_code error;
  const bool regular = std::filesystem::is_regular_file(file, error);
  std::ifstream stream(file, std::ios::binary);
  if (!regular || !stream) {
    const bool there = std::filesystem::exists(file, error);
    return fail(there ? std::errc::permission_denied : std::errc::no_such_file_or_directory,
                "{}: {}: give a text file with a layer a line, such as 'paceline inspect resnet20 "
                "--as-file' prints",
                file, there ? "cannot be read as a file" : "there is no such file");
  }
  std::string text(kMostBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return parse_network(text, file);
}

}  // namespace

Result<NetworkDescription> parse_network(std::string_view text, const std::string& file) {
  return Parser(file).parse(text);
}

Result<NetworkDescription> open_network(const std::string& name_or_file) {
  const bool file = name_or_file.ends_with(".net") || name_or_file.find('/') != std::string::npos;
  return file ? read_network_file(name_or_file) : named_network(name_or_file);
}

Result<Shape> parse_image(std::string_view text) {
  const auto sides = read_sides(text, 3);
  if (!sides || std::ranges::find(*sides, 0U) != sides->end()) {
    return fail(std::errc::invalid_argument,
                "'{}' is no image's size: write channels, height and width as 3x32x32", text);
  }
  return Shape{.channels = (*sides)[0], .height = (*sides)[1], .width = (*sides)[2]};
}

}  // namespace paceline
