// Files that appear whole or not at all.
//   AF-1 Under its final name a file has its old content or the new one, whatever happens between:
//        a temporary in the same folder is written, synced and renamed, then the folder is synced.
//   AF-2 A failure leaves no temporary behind (a process that is killed in the middle may).
//   AF-3 A folder that is filled under another name and then put in place appears whole, too.
// A process that writes under a limit on file sizes (ulimit -f) has to ignore SIGXFSZ for the limit
// to become an error here.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "paceline/result.h"

namespace paceline {

/// Replaces a file's content, or makes the file.
/// @return one line: the file, the cause (disk full, too large, not permitted, no folder), the
/// remedy
Result<> write_file_atomically(const std::filesystem::path& path,
                               std::span<const std::byte> content);
Result<> write_file_atomically(const std::filesystem::path& path, std::string_view content);
/// The same of pieces, one behind the other.
Result<> write_pieces_atomically(const std::filesystem::path& path,
                                 std::span<const std::span<const std::byte>> pieces);

/// AF-3: syncs the folder `from` and gives it the name `to`, in the same parent; a folder that has
/// this name is replaced. @pre the files in it are synced
Result<> put_folder_in_place(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace paceline
