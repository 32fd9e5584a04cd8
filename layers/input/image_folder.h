// Folders of JPEG and PNG files, a folder a class, as ImageNet and torchvision's ImageFolder have
// them: FOLDER/train/CLASS/... and FOLDER/val/CLASS/... (or test/).
//   IF-1 Classes are numbered in the order of their names; files in the order of theirs.
//   IF-2 Where there is neither val/ nor test/, a tenth of each class (at least one image of two or
//        more) is held out to test on, chosen by the files' names: the same files, the same tenth.
//        Where there is no train/ either, the folder itself holds the classes.
//   IF-3 Other files, those whose names begin with a dot and links to folders within a class's are
//        ignored and counted. A class's own folder and files may be links.
//   IF-4 Before training, one image of each class must be decodable, and half of a sample of the
//        set. What is found unreadable later is skipped, counted and named.
// Images become red, green and blue: grey is repeated, CMYK converted, alpha dropped, 16 bits
// rounded to 8. EXIF's orientation is ignored.
#pragma once

#include <filesystem>

#include "paceline/layers/input/dataset.h"

namespace paceline {

/// Whether a folder holds train/, or a folder with a JPEG or PNG file in it.
bool holds_image_folder(const std::filesystem::path& folder);

/// Only the names of the files are kept. Channels are normalised by ImageNet's statistics, whatever
/// the set: nothing has to be decoded for them, and networks trained elsewhere expect them.
/// @param image_size  height and width of the set's images, 1 to 4096
/// @return an error that names the folder or class that is missing, empty, unknown in train/, or
/// cannot be read
Result<Data> load_image_folder(const std::filesystem::path& folder, std::size_t image_size);

}  // namespace paceline
