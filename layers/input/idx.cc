#include "paceline/layers/input/idx.h"

#include <algorithm>
#include <array>

#include "paceline/layers/input/byte_reader_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kClasses = 10;
constexpr std::uint32_t kImagesMagic = 0x803, kLabelsMagic = 0x801;  // bytes; 3 and 1 dimensions
constexpr std::uint32_t kMostSide = 4096;                            // pixels
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 32;
constexpr std::array kFiles = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                               "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

std::filesystem::path zipped(const std::filesystem::path& path) { return path.string() + ".gz"; }

bool present(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

const char* name_of(IdxKind kind) {
  switch (kind) {
    case IdxKind::mnist:
      return "mnist";
    case IdxKind::fashion_mnist:
      return "fashion-mnist";
    default:
      return "idx";
  }
}

/// Opens NAME or NAME.gz and reads its header: the magic and `Dimensions` counts.
template <std::size_t Dimensions>
struct Header {
  std::array<std::uint32_t, Dimensions> counts{};

  static Result<Header> read(ByteReader& reader, std::uint32_t magic) {
    std::array<std::uint8_t, 4 * (1 + Dimensions)> bytes{};
    PACELINE_TRYV(reader.read(bytes));
    const auto word = [&](std::size_t i) {
      return std::uint32_t{bytes[4 * i]} << 24 | std::uint32_t{bytes[4 * i + 1]} << 16 |
             std::uint32_t{bytes[4 * i + 2]} << 8 | std::uint32_t{bytes[4 * i + 3]};
    };
    if (word(0) != magic) {
      return reader.wrong(
          fmt::format("wrong magic 0x{:08x}, not 0x{:08x} (IDX, bytes, {} dimension{})", word(0),
                      magic, Dimensions, Dimensions == 1 ? "" : "s"));
    }
    Header header;
    for (std::size_t i = 0; i < Dimensions; ++i) header.counts[i] = word(i + 1);
    reader.expect(bytes.size() + header.elements());
    return header;
  }
  /// Cannot overflow within kMostSide; otherwise the caller refuses before use.
  std::uint64_t elements() const {
    std::uint64_t product = 1;
    for (const std::uint32_t count : counts) {
      if (__builtin_mul_overflow(product, std::uint64_t{count}, &product)) return UINT64_MAX;
    }
    return product;
  }
};

class Folder {
 public:
  Folder(std::filesystem::path path, IdxKind kind) : path_(std::move(path)), kind_(kind) {}

  /// @param images, labels  names out of kFiles
  Result<std::shared_ptr<const Dataset>> load(const char* images, const char* labels) const {
    auto set = std::make_shared<Dataset>();
    set->classes = kClasses;
    PACELINE_TRYV(load_images(*set, images));
    PACELINE_TRYV(load_labels(*set, labels));
    return set;
  }
  Result<ByteReader> open(const char* name) const {
    const std::filesystem::path plain = path_ / name;
    const std::string set = kind_ == IdxKind::unnamed ? "mnist|fashion-mnist" : name_of(kind_);
    return ByteReader::open(!present(plain) && present(zipped(plain)) ? zipped(plain) : plain,
                            "fetch it again with tools/fetch-data " + set);
  }

 private:
  Result<> load_images(Dataset& set, const char* name) const {
    PACELINE_TRY(ByteReader reader, open(name));
    PACELINE_TRY(const auto header, Header<3>::read(reader, kImagesMagic));
    const auto [images, rows, columns] = header.counts;
    if (rows == 0 || columns == 0 || rows > kMostSide || columns > kMostSide || images == 0 ||
        header.elements() > kMostBytes) {
      return reader.wrong(
          fmt::format("wrong dimensions, {} images of {}x{}", images, rows, columns));
    }
    if (kind_ != IdxKind::unnamed && (rows != 28 || columns != 28)) {
      return reader.wrong(
          fmt::format("wrong dimensions, {}x{} where {} has 28x28", rows, columns, name_of(kind_)));
    }
    set.image = {.channels = 1, .height = rows, .width = columns};
    PACELINE_TRY(set.pixels, reader.read_block(header.elements()));
    return reader.finish();
  }

  Result<> load_labels(Dataset& set, const char* name) const {
    PACELINE_TRY(ByteReader reader, open(name));
    PACELINE_TRY(const auto header, Header<1>::read(reader, kLabelsMagic));
    const std::size_t images = set.pixels.size() / set.image.count();
    if (header.counts[0] != images) {
      return reader.wrong(fmt::format("{} labels for {} images", header.counts[0], images));
    }
    PACELINE_TRY(const std::vector<std::uint8_t> labels, reader.read_block(images));
    const auto bad = std::ranges::find_if(labels, [](auto label) { return label >= kClasses; });
    if (bad != labels.end()) {
      return reader.wrong(
          fmt::format("label {} at record {}, where 0 to 9 belong", *bad, bad - labels.begin()));
    }
    set.labels.assign(labels.begin(), labels.end());
    return reader.finish();
  }

  const std::filesystem::path path_;
  const IdxKind kind_;
};

}  // namespace

bool holds_idx(const std::filesystem::path& folder) {
  return std::ranges::any_of(kFiles, [&](const char* name) {
    return present(folder / name) || present(zipped(folder / name));
  });
}

Result<Data> load_idx(const std::filesystem::path& path, IdxKind kind) {
  const Folder folder(path, kind);
  Data data;
  data.name = name_of(kind);
  data.flip = kind == IdxKind::fashion_mnist;
  data.padding = 0;
  PACELINE_TRY(data.train, folder.load(kFiles[0], kFiles[1]));
  PACELINE_TRY(data.test, folder.load(kFiles[2], kFiles[3]));
  if (data.test->image != data.train->image) {
    PACELINE_TRY(const ByteReader reader, folder.open(kFiles[2]));
    return reader.wrong(fmt::format("wrong dimensions, {}x{} where the training images have {}x{}",
                                    data.test->image.height, data.test->image.width,
                                    data.train->image.height, data.train->image.width));
  }
  measure_channels(data);
  return data;
}

}  // namespace paceline
