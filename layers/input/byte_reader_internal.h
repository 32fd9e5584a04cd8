// Reads a data file, plain or gzip, to its last byte. Every failure names the file, what is wrong
// with it and the remedy. Used by the data formats alone.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "paceline/result.h"

namespace paceline {

class ByteReader {
 public:
  /// @param remedy  what each message ends with: "fetch it again with tools/fetch-data mnist"
  static Result<ByteReader> open(std::filesystem::path path, std::string remedy);

  /// Says how long the file must be, for messages: whole bytes, uncompressed.
  void expect(std::uint64_t whole_bytes) { whole_bytes_ = whole_bytes; }
  /// Fills `out` or fails: truncated, damaged, unreadable.
  Result<> read(std::span<std::uint8_t> out);
  /// The next `bytes`. What a header promises is believed only as far as the file bears it out:
  /// memory grows with what is read.
  Result<std::vector<std::uint8_t>> read_block(std::uint64_t bytes);
  /// Fails if anything is left.
  Result<> finish();

  /// A failure that names this file: "PATH: TEXT: REMEDY".
  [[nodiscard]] Error wrong(const std::string& text) const;

 private:
  struct Close {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };
  ByteReader(std::filesystem::path path, std::string remedy, gzFile file)
      : path_(std::move(path)), remedy_(std::move(remedy)), file_(file) {}
  /// Up to `out.size()` bytes; fewer only at the end.
  Result<std::size_t> read_some(std::span<std::uint8_t> out);

  std::filesystem::path path_;
  std::string remedy_;
  std::unique_ptr<gzFile_s, Close> file_;
  std::uint64_t position_ = 0, whole_bytes_ = 0;
};

}  // namespace paceline
