#include "paceline/layers/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "paceline/layers/atomic_file.h"

namespace paceline {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

using Json = nlohmann::json;
using OrderedJson =
    nlohmann::ordered_json;  // keeps what it is told in order, but searches linearly
using Path = std::filesystem::path;

/// The largest network's (4096 layers) takes a third; the published reader's limit is 100 MB.
constexpr std::uint64_t kMostHeaderBytes = 16'000'000;
constexpr std::uint64_t kLengthBytes = 8;
constexpr const char* kMetadata = "__metadata__";
/// PyTorch's BatchNorms count their steps; nothing here depends on it.
constexpr const char* kStepsCounted = ".num_batches_tracked";

/// A tensor as a file has it.
struct Entry {
  std::string name, type;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< bytes, from where the tensors start
};

struct Header {
  std::vector<Entry> entries;  ///< in the order of their bytes, without gaps
  Metadata metadata;
  std::uint64_t tensors_start = 0;  ///< bytes
};

Error wrong(const Path& path, const std::string& text) {
  return fail(std::errc::illegal_byte_sequence,
              "{}: not a whole safetensors file, {}: give a checkpoint that was written to its end",
              path.string(), text);
}

// --- Layouts: ours has channels last, PyTorch's channels first

/// A weight seen as [outer][pixels][channels] by us and as [outer][channels][pixels] by PyTorch.
struct Axes {
  std::size_t outer = 1, pixels = 1, channels = 1;
};

Axes axes_of(const Tensor& t) {
  if (t.dimensions.size() == 4) {
    return {t.dimensions[0], t.dimensions[1] * t.dimensions[2], t.dimensions[3]};
  }
  if (t.dimensions.size() == 2) {
    return {t.dimensions[0], t.flattened.height * t.flattened.width, t.flattened.channels};
  }
  return {1, 1, t.count};
}

std::vector<std::uint64_t> shape_in_file(const Tensor& t) {
  if (t.dimensions.size() != 4) return {t.dimensions.begin(), t.dimensions.end()};
  return {t.dimensions[0], t.dimensions[3], t.dimensions[1], t.dimensions[2]};
}

void to_channels_first(const Axes& axes, const float* ours, float* theirs) {
  for (std::size_t o = 0; o < axes.outer; ++o) {
    for (std::size_t c = 0; c < axes.channels; ++c) {
      for (std::size_t p = 0; p < axes.pixels; ++p) {
        *theirs++ = ours[(o * axes.pixels + p) * axes.channels + c];
      }
    }
  }
}

void to_channels_last(const Axes& axes, const float* theirs, float* ours) {
  for (std::size_t o = 0; o < axes.outer; ++o) {
    for (std::size_t p = 0; p < axes.pixels; ++p) {
      for (std::size_t c = 0; c < axes.channels; ++c) {
        *ours++ = theirs[(o * axes.channels + c) * axes.pixels + p];
      }
    }
  }
}

std::vector<Tensor> all_tensors(const Layout& layout) {
  std::vector<Tensor> all = layout.tensors;
  all.insert(all.end(), layout.buffers.begin(), layout.buffers.end());
  return all;
}

// --- Headers

std::optional<std::vector<std::uint64_t>> numbers(const Json& json) {
  if (!json.is_array()) return std::nullopt;
  std::vector<std::uint64_t> all;
  for (const Json& number : json) {
    if (!number.is_number_unsigned()) return std::nullopt;
    all.push_back(number.get<std::uint64_t>());
  }
  return all;
}

Result<Entry> parse_entry(const Path& path, const std::string& name, const Json& json) {
  const auto member = [&](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found == json.end() ? Json() : *found;
  };
  const Json type = member("dtype");
  const auto shape = numbers(member("shape")), offsets = numbers(member("data_offsets"));
  if (!type.is_string() || !shape || !offsets || offsets->size() != 2) {
    return wrong(path, fmt::format("'{}' lacks dtype, shape or data_offsets", name));
  }
  return Entry{.name = name,
               .type = type.get<std::string>(),
               .shape = *shape,
               .begin = (*offsets)[0],
               .end = (*offsets)[1]};
}

Result<Header> parse_header(const Path& path, const std::string& text, std::uint64_t tensor_bytes) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return wrong(path, "its header is no JSON object");
  Header header;
  header.tensors_start = kLengthBytes + text.size();
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadata) {
      if (!value.is_object()) return wrong(path, "its __metadata__ is no object");
      for (const auto& [key, string] : value.items()) {
        if (!string.is_string()) return wrong(path, "its __metadata__ holds more than strings");
        header.metadata[key] = string.get<std::string>();
      }
    } else {
      PACELINE_TRY(Entry entry, parse_entry(path, name, value));
      header.entries.push_back(std::move(entry));
    }
  }
  std::ranges::sort(header.entries, {}, [](const Entry& e) { return std::pair(e.begin, e.end); });
  std::uint64_t position = 0;
  for (const Entry& e : header.entries) {
    if (e.begin != position || e.end < e.begin || e.end > tensor_bytes) {
      return wrong(path, fmt::format("'{}' lies at [{}, {}) where {} follows, of {} bytes", e.name,
                                     e.begin, e.end, position, tensor_bytes));
    }
    position = e.end;
  }
  if (position != tensor_bytes) {
    return wrong(path, fmt::format("its tensors fill {} of {} bytes", position, tensor_bytes));
  }
  return header;
}

Result<Header> read_header(const Path& path, std::ifstream& file) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) {
    return Error{error, fmt::format("{}: cannot be read ({}): give a checkpoint that paceline has "
                                    "written",
                                    path.string(), error.message())};
  }
  file.open(path, std::ios::binary);
  if (!file) {
    return fail(std::errc::permission_denied, "{}: cannot be opened: check its permissions",
                path.string());
  }
  std::uint64_t length = 0;
  file.read(reinterpret_cast<char*>(&length), kLengthBytes);
  if (!file) return wrong(path, fmt::format("{} bytes hold no header", bytes));
  if (length > bytes - kLengthBytes) {
    return wrong(path, fmt::format("its header claims {} of {} bytes", length, bytes));
  }
  if (length > kMostHeaderBytes) {
    return fail(std::errc::file_too_large,
                "{}: its header takes {} bytes, more than the {} that are read: give a checkpoint "
                "of a network that paceline can build",
                path.string(), length, kMostHeaderBytes);
  }
  std::string text(length, '\0');
  file.read(text.data(), static_cast<std::streamsize>(length));
  if (!file) return wrong(path, "its header cannot be read");
  return parse_header(path, text, bytes - kLengthBytes - length);
}

/// Whether a file's tensor is what the layout wants.
Result<> check(const Path& path, const Entry& entry, const Tensor& t) {
  const std::vector<std::uint64_t> wanted = shape_in_file(t);
  if (entry.type != "F32") {
    return fail(std::errc::invalid_argument, "{}: '{}' is {}: convert it to F32", path.string(),
                t.name, entry.type);
  }
  if (entry.shape != wanted) {
    return fail(std::errc::invalid_argument,
                "{}: '{}' is {}, the network has {}: the file holds another network: name that one",
                path.string(), t.name, fmt::join(entry.shape, "x"), fmt::join(wanted, "x"));
  }
  if (entry.end - entry.begin != t.count * sizeof(float)) {
    return wrong(path, fmt::format("'{}' takes {} bytes, not {}", t.name, entry.end - entry.begin,
                                   t.count * sizeof(float)));
  }
  return success();
}

/// The length, then the header's text, padded.
std::vector<std::byte> head_of(const OrderedJson& json) {
  // Strings that are not UTF-8 (a folder's name) lose what cannot be written.
  std::string header = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  std::vector<std::byte> head(kLengthBytes + length);
  std::memcpy(head.data(), &length, kLengthBytes);
  std::memcpy(head.data() + kLengthBytes, header.data(), length);
  return head;
}

}  // namespace

Result<> write_safetensors(const Path& path, const Layout& layout, std::span<const float> x,
                           const Metadata& metadata) {
  PACELINE_CHECK(x.size() == layout.all_elements(), "{} elements for a layout of {}", x.size(),
                 layout.all_elements());
  const std::vector<Tensor> tensors = all_tensors(layout);
  OrderedJson json = OrderedJson::object();
  if (!metadata.empty()) json[kMetadata] = metadata;
  std::uint64_t position = 0;
  for (const Tensor& t : tensors) {
    const std::uint64_t end = position + t.count * sizeof(float);
    json[t.name] = {
        {"dtype", "F32"}, {"shape", shape_in_file(t)}, {"data_offsets", {position, end}}};
    position = end;
  }
  const std::vector<std::byte> head = head_of(json);
  std::vector<std::byte> content(position);
  std::byte* out = content.data();
  std::vector<float> permuted;
  for (const Tensor& t : tensors) {
    permuted.resize(t.count);
    to_channels_first(axes_of(t), &x[t.offset], permuted.data());
    std::memcpy(out, permuted.data(), t.count * sizeof(float));
    out += t.count * sizeof(float);
  }
  const std::span<const std::byte> pieces[] = {head, content};
  return write_pieces_atomically(path, pieces);
}

Result<> write_named_vectors(const Path& path, std::span<const NamedVector> vectors) {
  OrderedJson json = OrderedJson::object();
  std::uint64_t position = 0;
  for (const NamedVector& v : vectors) {
    PACELINE_CHECK(!json.contains(v.name), "two vectors '{}'", v.name);
    const std::uint64_t end = position + v.values.size_bytes();
    json[v.name] = {
        {"dtype", "F32"}, {"shape", {v.values.size()}}, {"data_offsets", {position, end}}};
    position = end;
  }
  const std::vector<std::byte> head = head_of(json);
  std::vector<std::span<const std::byte>> pieces = {head};
  for (const NamedVector& v : vectors) pieces.push_back(std::as_bytes(v.values));
  return write_pieces_atomically(path, pieces);
}

Result<std::map<std::string, std::vector<float>>> read_named_vectors(const Path& path) {
  std::ifstream file;
  PACELINE_TRY(const Header header, read_header(path, file));
  std::map<std::string, std::vector<float>> vectors;
  for (const Entry& e : header.entries) {
    const std::uint64_t bytes = e.end - e.begin;
    if (e.type != "F32" || e.shape.size() != 1 || bytes % sizeof(float) != 0 ||
        e.shape[0] != bytes / sizeof(float)) {
      return wrong(path, fmt::format("'{}' is no flat vector of F32", e.name));
    }
    std::vector<float>& values = vectors[e.name];
    values.resize(e.shape[0]);
    file.seekg(static_cast<std::streamoff>(header.tensors_start + e.begin));
    file.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(float)));
    if (!file) return wrong(path, fmt::format("'{}' cannot be read", e.name));
  }
  return vectors;
}

Result<Metadata> read_safetensors_metadata(const Path& path) {
  std::ifstream file;
  PACELINE_TRY(Header header, read_header(path, file));
  return std::move(header.metadata);
}

Result<std::vector<float>> read_safetensors(const Path& path, const Layout& layout) {
  std::ifstream file;
  PACELINE_TRY(const Header header, read_header(path, file));
  const std::vector<Tensor> tensors = all_tensors(layout);
  for (const Entry& entry : header.entries) {
    if (entry.name.ends_with(kStepsCounted)) continue;
    if (std::ranges::find(tensors, entry.name, &Tensor::name) == tensors.end()) {
      return fail(
          std::errc::invalid_argument,
          "{}: '{}' does not belong to the network: the file holds another network: name that one",
          path.string(), entry.name);
    }
  }
  std::vector<const Entry*> found;
  for (const Tensor& t : tensors) {
    const auto entry = std::ranges::find(header.entries, t.name, &Entry::name);
    if (entry == header.entries.end()) {
      return fail(std::errc::invalid_argument,
                  "{}: no tensor '{}': the file holds another network: name that one",
                  path.string(), t.name);
    }
    PACELINE_TRYV(check(path, *entry, t));
    found.push_back(&*entry);
  }
  std::vector<float> x(layout.all_elements()), permuted;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Tensor& t = tensors[i];
    permuted.resize(t.count);
    file.seekg(static_cast<std::streamoff>(header.tensors_start + found[i]->begin));
    file.read(reinterpret_cast<char*>(permuted.data()),
              static_cast<std::streamsize>(t.count * sizeof(float)));
    if (!file) return wrong(path, fmt::format("'{}' cannot be read", t.name));
    to_channels_last(axes_of(t), permuted.data(), &x[t.offset]);
  }
  return x;
}

}  // namespace paceline
