#include "paceline/layers/input/cifar10.h"

#include <algorithm>
#include <array>

#include "paceline/layers/input/byte_reader_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kSide = 32, kChannels = 3, kClasses = 10, kRecords = 10'000;
constexpr std::size_t kPlane = kSide * kSide, kRecordBytes = 1 + kChannels * kPlane;
constexpr std::array kTraining = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                  "data_batch_4.bin", "data_batch_5.bin"};
constexpr const char* kTest = "test_batch.bin";

bool has_any(const std::filesystem::path& folder) {
  std::error_code ignored;
  const auto exists = [&](const char* name) {
    return std::filesystem::exists(folder / name, ignored);
  };
  return exists(kTest) || std::ranges::any_of(kTraining, exists);
}

/// Where the tarball unpacks to, or the folder itself.
std::filesystem::path files_of(const std::filesystem::path& folder) {
  const std::filesystem::path below = folder / "cifar-10-batches-bin";
  return !has_any(folder) && has_any(below) ? below : folder;
}

Result<> append(Dataset& set, const std::filesystem::path& path) {
  PACELINE_TRY(ByteReader reader,
               ByteReader::open(path, "fetch it again with tools/fetch-data cifar10"));
  reader.expect(kRecords * kRecordBytes);
  std::array<std::uint8_t, kRecordBytes> record;
  for (std::size_t n = 0; n < kRecords; ++n) {
    PACELINE_TRYV(reader.read(record));
    if (record[0] >= kClasses) {
      return reader.wrong(fmt::format("label {} at record {}, where 0 to 9 belong", record[0], n));
    }
    set.labels.push_back(record[0]);
    const std::uint8_t* planes = &record[1];
    for (std::size_t i = 0; i < kPlane; ++i) {
      for (std::size_t c = 0; c < kChannels; ++c) set.pixels.push_back(planes[c * kPlane + i]);
    }
  }
  return reader.finish();
}

Result<std::shared_ptr<const Dataset>> load(const std::filesystem::path& folder,
                                            std::span<const char* const> names) {
  auto set = std::make_shared<Dataset>();
  set->image = {.channels = kChannels, .height = kSide, .width = kSide};
  set->classes = kClasses;
  set->pixels.reserve(names.size() * kRecords * set->image.count());
  set->labels.reserve(names.size() * kRecords);
  for (const char* name : names) PACELINE_TRYV(append(*set, folder / name));
  return set;
}

}  // namespace

bool holds_cifar10(const std::filesystem::path& folder) { return has_any(files_of(folder)); }

Result<Data> load_cifar10(const std::filesystem::path& folder) {
  const std::filesystem::path files = files_of(folder);
  Data data;
  data.name = "cifar10";
  PACELINE_TRY(data.train, load(files, kTraining));
  PACELINE_TRY(data.test, load(files, {&kTest, 1}));
  measure_channels(data);
  return data;
}

}  // namespace paceline
