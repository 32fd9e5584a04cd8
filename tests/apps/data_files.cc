#include "apps/data_files.h"

#include <fmt/format.h>

#include <fstream>
#include <vector>

namespace paceline {
namespace {

constexpr std::size_t kImages = 10, kSide = 28;
constexpr std::size_t kCifarRecords = 10000, kCifarRecord = 1 + 3 * 32 * 32;

std::string big_endian(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

void write(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

}  // namespace

void write_idx_folder(const std::filesystem::path& folder) {
  std::string images =
      big_endian(0x803) + big_endian(kImages) + big_endian(kSide) + big_endian(kSide);
  std::string labels = big_endian(0x801) + big_endian(kImages);
  for (std::size_t i = 0; i < kImages; ++i) {
    images += std::string(kSide * kSide, static_cast<char>(20 * i));
    labels += static_cast<char>(i);
  }
  for (const char* set : {"train", "t10k"}) {
    write(folder / fmt::format("{}-images-idx3-ubyte", set), images);
    write(folder / fmt::format("{}-labels-idx1-ubyte", set), labels);
  }
}

void write_cifar_folder(const std::filesystem::path& folder) {
  std::string batch(kCifarRecords * kCifarRecord, '\0');
  for (std::size_t i = 0; i < kCifarRecords; ++i) {
    batch[i * kCifarRecord] = static_cast<char>(i % 10);
    batch[i * kCifarRecord + 1] = static_cast<char>(i);
  }
  for (int i = 1; i <= 5; ++i) write(folder / fmt::format("data_batch_{}.bin", i), batch);
  write(folder / "test_batch.bin", batch);
}

void overwrite(const std::filesystem::path& file, std::size_t offset, const std::string& bytes) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream << bytes;
}

}  // namespace paceline
