#include "paceline/layers/input/image_folder.h"

#define XXH_INLINE_ALL  // header only: nothing for consumers to link
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <optional>
#include <utility>

#include "paceline/layers/input/image_decoder_internal.h"
#include "paceline/layers/nearest.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostSize = 4096;  // pixels a side
constexpr std::size_t kHeldOut = 10;     // one in ten
constexpr std::size_t kSample = 256;     // images of a set that are tried before training
constexpr std::size_t kMostClasses = std::size_t{1} << 16;
constexpr std::array kExtensions = {".jpg", ".jpeg", ".png"};
constexpr std::array kTests = {"val", "test"};
constexpr const char* kLayout = "wanted are train/CLASS/*.jpg (or .png) and val/CLASS/*.jpg";

bool hidden(const fs::path& path) { return path.filename().native().starts_with('.'); }

bool is_image(const fs::path& path) {
  std::string extension = path.extension();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return std::tolower(c); });
  return !hidden(path) && std::ranges::find(kExtensions, extension) != kExtensions.end();
}

Error cannot_list(const fs::path& folder, const std::error_code& code) {
  return Error{code, fmt::format("{}: cannot be listed ({}): check the folder and its permissions",
                                 folder.string(), code.message())};
}

/// A class and its images, by name below the data's folder.
struct Class {
  std::string name;
  std::vector<std::string> images;
};

/// What one of train/, val/, test/ or the folder itself holds.
struct Part {
  std::vector<Class> classes;  ///< in the order of their names
  std::size_t ignored = 0;     ///< files that are no images, links to folders within a class
};

/// @param name  below `root`
Result<std::vector<std::string>> list_images(const fs::path& root, const fs::path& name,
                                             std::size_t& ignored) {
  const std::size_t prefix = (root / "").native().size();
  std::vector<std::string> images;
  std::error_code code;
  auto entry = fs::recursive_directory_iterator(root / name, code);
  for (; !code && entry != fs::recursive_directory_iterator(); entry.increment(code)) {
    std::error_code gone;
    const bool is_folder = entry->is_directory(gone);
    if (is_folder && !entry->is_symlink(gone)) continue;
    // A link may lead back to where it lies: the folders behind links are not walked.
    if (is_folder || !is_image(entry->path())) {
      ++ignored;
      continue;
    }
    images.push_back(entry->path().native().substr(prefix));
  }
  if (code) return cannot_list(root / name, code);
  std::ranges::sort(images);
  return images;
}

/// @param name  "train"; empty: the folder itself
Result<Part> scan(const fs::path& root, const fs::path& name) {
  Part part;
  std::error_code code;
  auto entry = fs::directory_iterator(root / name, code);
  for (; !code && entry != fs::directory_iterator(); entry.increment(code)) {
    std::error_code gone;
    if (!entry->is_directory(gone)) {
      ++part.ignored;
      continue;
    }
    if (!hidden(entry->path())) part.classes.push_back({entry->path().filename(), {}});
  }
  if (code) return cannot_list(root / name, code);
  std::ranges::sort(part.classes, {}, &Class::name);
  for (Class& one : part.classes) {
    PACELINE_TRY(one.images, list_images(root, name / one.name, part.ignored));
  }
  return part;
}

/// The part that is called `name`, if there is one. A file where a folder is wanted is a mistake.
Result<std::optional<Part>> find_part(const fs::path& root, const char* name) {
  const fs::path path = root / name;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  if (!fs::is_directory(path, ignored)) {
    return fail(std::errc::not_a_directory, "{}: is a file where a folder of classes belongs: {}",
                path.string(), kLayout);
  }
  PACELINE_TRY(Part part, scan(root, name));
  return part;
}

Result<> check_classes(const fs::path& where, const Part& train) {
  if (train.classes.size() < 2) {
    return fail(std::errc::invalid_argument,
                "{}: holds {}, and a network tells 2 or more apart: {}", where.string(),
                train.classes.empty() ? "no class folder"
                                      : "one class folder alone, '" + train.classes[0].name + "'",
                kLayout);
  }
  if (train.classes.size() > kMostClasses) {
    return fail(std::errc::invalid_argument, "{}: holds {} class folders, more than {}",
                where.string(), train.classes.size(), kMostClasses);
  }
  for (const Class& one : train.classes) {
    if (!one.images.empty()) continue;
    return fail(std::errc::invalid_argument,
                "{}: the class folder holds no JPEG or PNG file: fill it or remove it",
                (where / one.name).string());
  }
  return success();
}

/// Test classes are the training classes; some may be missing.
Result<> check_test_classes(const fs::path& where, const Part& test, const Part& train) {
  std::vector<std::string> names;
  for (const Class& one : train.classes) names.push_back(one.name);
  for (const Class& one : test.classes) {
    if (std::ranges::binary_search(names, one.name)) continue;
    const std::string meant = nearest(one.name, names);
    return fail(std::errc::invalid_argument,
                "{}: the training part has no class of this name{}: remove or rename the folder",
                (where / one.name).string(),
                meant.empty() ? "" : fmt::format(" (did you mean '{}'?)", meant));
  }
  if (std::ranges::all_of(test.classes, [](const Class& one) { return one.images.empty(); })) {
    return fail(std::errc::invalid_argument,
                "{}: holds no JPEG or PNG file in class folders: fill it, or remove it to have a "
                "tenth of the training images held out",
                where.string());
  }
  return success();
}

/// Moves a tenth of each class into a part of their own (IF-2).
Part hold_out(Part& train) {
  Part test;
  for (Class& one : train.classes) {
    const std::size_t images = one.images.size();
    const std::size_t count = images < 2 ? 0 : std::max<std::size_t>(1, images / kHeldOut);
    const auto rank = [](const std::string& name) {
      return std::pair(XXH3_64bits(name.data(), name.size()), name);
    };
    std::vector<std::string> order = one.images;
    std::ranges::sort(order, {}, rank);
    const auto border = order.begin() + static_cast<std::ptrdiff_t>(count);
    Class held{one.name, {order.begin(), border}};
    one.images.assign(border, order.end());
    std::ranges::sort(one.images);
    std::ranges::sort(held.images);
    test.classes.push_back(std::move(held));
  }
  return test;
}

std::shared_ptr<const Dataset> to_dataset(const fs::path& root, const Part& part, const Part& train,
                                          std::size_t image_size) {
  auto set = std::make_shared<Dataset>();
  auto files = std::make_shared<ImageFiles>(root);
  set->image = {.channels = 3, .height = image_size, .width = image_size};
  set->classes = train.classes.size();
  for (const Class& one : part.classes) {
    const auto found = std::ranges::lower_bound(train.classes, one.name, {}, &Class::name);
    const auto label = static_cast<std::uint16_t>(found - train.classes.begin());
    for (const std::string& image : one.images) {
      files->add(image);
      set->labels.push_back(label);
    }
  }
  set->files = std::move(files);
  return set;
}

/// Decodes, coarsely, to see whether it can be done; what cannot is logged.
class Trial {
 public:
  explicit Trial(const Dataset& set) : set_(set), files_(*set.files) {}

  /// At least one image of each class can be decoded. @pre a class's images are neighbours
  Result<> try_classes() {
    for (std::size_t first = 0, end = 0; first < set_.size(); first = end) {
      while (end < set_.size() && set_.labels[end] == set_.labels[first]) ++end;
      std::size_t image = first;
      while (image < end && !decodes(image)) ++image;
      if (image < end) continue;
      return fail(std::errc::illegal_byte_sequence,
                  "{}: none of the {} images of its class can be read ({}): replace them",
                  files_.path(first), end - first, why(first));
    }
    return success();
  }
  /// More than half of a sample can be decoded.
  Result<> try_sample() {
    const std::size_t count = std::min(kSample, set_.size());
    std::size_t bad = 0, example = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t image = i * set_.size() / count;
      if (decodes(image)) continue;
      ++bad;
      example = image;
    }
    if (2 * bad <= count) return success();
    return fail(std::errc::illegal_byte_sequence,
                "{}: cannot be read ({}), nor can {} of {} images that were tried: replace them",
                files_.path(example), why(example), bad, count);
  }

 private:
  bool decodes(std::size_t image) {
    Result<> done = success();
    if (const auto size = decoder_.open(files_.path(image)); !size) {
      done = size.error();
    } else if (const auto decoded = decoder_.decode(8); !decoded) {
      done = decoded.error();
    }
    if (!done) files_.log().skip(files_.name(image), done.error().message);
    return static_cast<bool>(done);
  }
  std::string why(std::size_t image) const {
    return files_.log().skipped()[std::string(files_.name(image))];
  }

  const Dataset& set_;
  const ImageFiles& files_;
  ImageDecoder decoder_;
};

}  // namespace

bool holds_image_folder(const fs::path& folder) {
  std::error_code code;
  if (fs::exists(folder / "train", code)) return true;
  for (auto entry = fs::directory_iterator(folder, code);
       !code && entry != fs::directory_iterator(); entry.increment(code)) {
    std::error_code inner;
    if (hidden(entry->path()) || !entry->is_directory(inner)) continue;
    for (auto file = fs::directory_iterator(entry->path(), inner);
         !inner && file != fs::directory_iterator(); file.increment(inner)) {
      if (is_image(file->path())) return true;
    }
  }
  return false;
}

Result<Data> load_image_folder(const fs::path& folder, std::size_t image_size) {
  if (image_size == 0 || image_size > kMostSize) {
    return fail(std::errc::invalid_argument, "--image-size {} is not from 1 to {}", image_size,
                kMostSize);
  }
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    return fail(std::errc::not_a_directory, "{}: no such folder: {}", folder.string(), kLayout);
  }
  PACELINE_TRY(std::optional<Part> train, find_part(folder, "train"));
  std::optional<Part> test;
  const fs::path where = train ? folder / "train" : folder;
  fs::path test_where;
  if (train) {
    for (const char* name : kTests) {
      if (test) break;
      PACELINE_TRY(test, find_part(folder, name));
      test_where = folder / name;
    }
  } else {
    for (const char* name : kTests) {
      if (!fs::exists(folder / name, ignored)) continue;
      return fail(std::errc::no_such_file_or_directory, "{}: holds {}/ but no train/: {}",
                  folder.string(), name, kLayout);
    }
    PACELINE_TRY(train, scan(folder, ""));
  }
  PACELINE_TRYV(check_classes(where, *train));

  Data data;
  data.name = fmt::format("images:{}", folder.string());
  data.ignored_files = train->ignored;
  data.held_out = !test;
  if (test) {
    PACELINE_TRYV(check_test_classes(test_where, *test, *train));
    data.ignored_files += test->ignored;
  } else {
    test = hold_out(*train);
  }
  data.train = to_dataset(folder, *train, *train, image_size);
  data.test = to_dataset(folder, *test, *train, image_size);
  if (data.test->size() == 0) {
    return fail(std::errc::invalid_argument,
                "{}: no class has two images, so that none can be held out to test on: add val/",
                where.string());
  }
  data.mean = {0.485F, 0.456F, 0.406F};
  data.deviation = {0.229F, 0.224F, 0.225F};
  PACELINE_TRYV(Trial(*data.train).try_classes());
  PACELINE_TRYV(Trial(*data.train).try_sample());
  PACELINE_TRYV(Trial(*data.test).try_sample());
  return data;
}

}  // namespace paceline
