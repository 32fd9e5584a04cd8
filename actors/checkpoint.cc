#include "paceline/actors/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "paceline/layers/atomic_file.h"
#include "paceline/layers/checksum.h"

namespace paceline {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr const char *kState = "state.json", *kVectors = "workers.safetensors",
                     *kModel = "leader.safetensors";
constexpr const char *kPrefix = "step-", *kUnfinished = ".tmp", *kDamaged = "damaged-";

Error damaged(const fs::path& path, const std::string& text) {
  return fail(std::errc::illegal_byte_sequence, "{}: is damaged, {}", path.string(), text);
}

std::string name_of(std::uint64_t steps) { return fmt::format("{}{:010}", kPrefix, steps); }

/// The steps in a checkpoint's name; nothing where it is none.
std::optional<std::uint64_t> steps_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = std::string_view(name).substr(std::string_view(kPrefix).size());
  std::uint64_t steps = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), steps);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return steps;
}

/// All under their final names, the newest first.
std::vector<fs::path> checkpoints(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (steps_of(entry.path())) found.push_back(entry.path());
  std::ranges::sort(found, std::greater{}, [](const fs::path& p) { return *steps_of(p); });
  return found;
}

// --- Numbers: bits of doubles are whole numbers, since JSON has no infinity

std::string hex(std::uint64_t value) { return fmt::format("{:016x}", value); }

Json bits(double value) { return std::bit_cast<std::uint64_t>(value); }

Json json_of(const RoleCheckpoint& role) {
  Json numbers = Json::object(), vectors = Json::object();
  for (const auto& [name, values] : role.numbers) {
    Json all = Json::array();
    for (const double value : values) all.push_back(bits(value));
    numbers[name] = std::move(all);
  }
  for (const auto& [name, values] : role.vectors) vectors[name] = values.size();
  return {{"steps", role.steps},
          {"rng", role.rng},
          {"stream",
           {{"epoch", role.stream.epoch},
            {"position", role.stream.position},
            {"rng", role.stream.rng}}},
          {"numbers", std::move(numbers)},
          {"vectors", std::move(vectors)}};
}

/// Everything but the files' sums.
Json json_of(const Checkpoint& c) {
  Json workers = Json::object();
  for (const auto& [rank, role] : c.workers) workers[std::to_string(rank)] = json_of(role);
  return {{"version", kVersion},
          {"protocol", c.protocol},
          {"network", c.network},
          {"data", c.data},
          {"layout", hex(c.layout)},
          {"seed", c.seed},
          {"seats", c.seats},
          {"steps", c.steps},
          {"train_seconds", bits(c.train_seconds)},
          {"leader", c.leader == kNobody ? Json(nullptr) : Json(c.leader)},
          {"leader_changes", c.leader_changes},
          {"in_step", c.in_step},
          {"workers", std::move(workers)},
          {"centre", c.centre ? json_of(*c.centre) : Json(nullptr)}};
}

// Strings that are not UTF-8 (a folder's name) lose what cannot be written.
std::string dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

std::string prefix_of(Rank rank) { return fmt::format("worker.{}.", rank); }
constexpr const char* kCentre = "centre.";

std::vector<NamedVector> named_vectors(const Checkpoint& c) {
  std::vector<NamedVector> all;
  const auto add = [&](const std::string& prefix, const RoleCheckpoint& role) {
    for (const auto& [name, values] : role.vectors) all.push_back({prefix + name, values});
  };
  for (const auto& [rank, role] : c.workers) add(prefix_of(rank), role);
  if (c.centre) add(kCentre, *c.centre);
  return all;
}

// --- Reading; a member that is missing or of another type is an exception of the library's

double real_of(const Json& json) { return std::bit_cast<double>(json.get<std::uint64_t>()); }

/// Takes a role's vectors out of what the file held. @return whether they are what they should be
bool take_vectors(RoleCheckpoint& role, const std::string& prefix, const Json& json,
                  const Layout& layout, const std::map<std::string, std::vector<float>>& memory) {
  for (const auto& [name, count] : json.at("vectors").items()) {
    const auto found = memory.find(prefix + name);
    const std::size_t wanted = name == "buffers" ? layout.buffer_elements : layout.elements;
    if (found == memory.end() || found->second.size() != wanted ||
        count.get<std::uint64_t>() != wanted)
      return false;
    role.vectors[name] = found->second;
  }
  return role.vectors.contains("x");
}

RoleCheckpoint role_of(const Json& json) {
  RoleCheckpoint role;
  role.steps = json.at("steps").get<std::uint64_t>();
  role.rng = json.at("rng").get<std::uint64_t>();
  const Json& stream = json.at("stream");
  role.stream = {.epoch = stream.at("epoch").get<std::uint64_t>(),
                 .position = stream.at("position").get<std::uint64_t>(),
                 .rng = stream.at("rng").get<std::uint64_t>()};
  for (const auto& [name, values] : json.at("numbers").items())
    for (const Json& value : values) role.numbers[name].push_back(real_of(value));
  return role;
}

/// The state, when its own sum and those of the other files are right.
Result<Json> checked_state(const fs::path& path) {
  std::ifstream file(path / kState, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return damaged(path, fmt::format("{} cannot be read", kState));
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("xxh3"))
    return damaged(path, fmt::format("{} is not whole", kState));
  const Json sum = json["xxh3"];
  json.erase("xxh3");
  if (sum != hex(checksum(dump(json))))
    return damaged(path, fmt::format("{} does not match its checksum", kState));
  for (const auto& [name, wanted] : json.at("files").items()) {
    const auto found = file_checksum(path / name);
    if (!found) return damaged(path, fmt::format("{} cannot be read", name));
    if (wanted.at("bytes") != found.value().bytes || wanted.at("xxh3") != hex(found.value().xxh3))
      return damaged(path, fmt::format("{} does not match its checksum", name));
  }
  return json;
}

Result<Checkpoint> read(const fs::path& path, const Layout& layout) {
  PACELINE_TRY(const Json json, checked_state(path));
  if (json.at("version") != kVersion)
    return fail(std::errc::invalid_argument,
                "{}: has version {} of the format, this program reads {}: use the program that "
                "wrote it",
                path.string(), dump(json.at("version")), kVersion);
  Checkpoint c;
  c.path = path;
  c.protocol = json.at("protocol").get<std::string>();
  c.network = json.at("network").get<std::string>();
  c.data = json.at("data").get<std::string>();
  c.layout = layout.hash();
  if (json.at("layout") != hex(c.layout))
    return fail(std::errc::invalid_argument,
                "{}: is of a network '{}' whose parameters lie otherwise: give the network that "
                "was trained",
                path.string(), c.network);
  c.seed = json.at("seed").get<std::uint64_t>();
  c.seats = json.at("seats").get<std::uint32_t>();
  c.steps = json.at("steps").get<std::uint64_t>();
  c.train_seconds = real_of(json.at("train_seconds"));
  if (!json.at("leader").is_null()) c.leader = json.at("leader").get<Rank>();
  c.leader_changes = json.at("leader_changes").get<std::uint64_t>();
  c.in_step = json.at("in_step").get<bool>();
  PACELINE_TRY(c.memory, read_named_vectors(path / kVectors));
  PACELINE_TRY(c.memory["model"], read_safetensors(path / kModel, layout));
  c.model = c.memory["model"];
  const auto take = [&](const Json& role, const std::string& prefix) -> Result<RoleCheckpoint> {
    RoleCheckpoint taken = role_of(role);
    if (!take_vectors(taken, prefix, role, layout, c.memory))
      return damaged(path, fmt::format("{} lacks a vector of {}", kVectors, prefix));
    return taken;
  };
  for (const auto& [rank, role] : json.at("workers").items()) {
    const auto number = static_cast<Rank>(std::stoul(rank));
    PACELINE_TRY(c.workers[number], take(role, prefix_of(number)));
  }
  if (!json.at("centre").is_null()) {
    PACELINE_TRY(c.centre, take(json.at("centre"), kCentre));
  }
  return c;
}

}  // namespace

fs::path checkpoint_folder(const fs::path& run) { return run / "checkpoints"; }

Result<CheckpointFiles> write_checkpoint(const fs::path& run, const Checkpoint& c,
                                         const Layout& layout, const Metadata& metadata,
                                         std::size_t keep) {
  const fs::path folder = checkpoint_folder(run);
  const std::string name = name_of(c.steps);
  const fs::path unfinished = folder / ("." + name + kUnfinished);
  std::error_code error;
  fs::remove_all(unfinished, error);
  fs::create_directories(unfinished, error);
  if (error)
    return fail_errno(error.value(), "cannot make {} (free some space or allow it)",
                      unfinished.string());
  const auto write = [&]() -> Result<CheckpointFiles> {
    PACELINE_TRYV(write_safetensors(unfinished / kModel, layout, c.model, metadata));
    const std::vector<NamedVector> vectors = named_vectors(c);
    PACELINE_TRYV(write_named_vectors(unfinished / kVectors, vectors));
    Json json = json_of(c);
    CheckpointFiles files{folder / name, 0};
    for (const char* file : {kModel, kVectors}) {
      PACELINE_TRY(const FileSum sum, file_checksum(unfinished / file));
      json["files"][file] = {{"bytes", sum.bytes}, {"xxh3", hex(sum.xxh3)}};
      files.bytes += sum.bytes;
    }
    json["xxh3"] = hex(checksum(dump(json)));
    const std::string text = dump(json);
    files.bytes += text.size();
    PACELINE_TRYV(write_file_atomically(unfinished / kState, text));
    PACELINE_TRYV(put_folder_in_place(unfinished, files.path));
    return files;
  };
  Result<CheckpointFiles> files = write();
  if (!files) {
    fs::remove_all(unfinished, error);
    return files;
  }
  const std::vector<fs::path> all = checkpoints(folder);
  for (std::size_t i = keep; i < all.size(); ++i) {
    const fs::path old = folder / ("." + all[i].filename().string() + kUnfinished);
    fs::rename(all[i], old, error);  // never half of one under its name
    if (!error) fs::remove_all(old, error);
  }
  return files;
}

Result<Checkpoint> read_checkpoint(const fs::path& path, const Layout& layout) {
  try {
    return read(path, layout);
  } catch (const std::exception& error) {
    return damaged(path, fmt::format("{} holds something else ({})", kState, error.what()));
  }
}

Result<Checkpoint> read_newest_checkpoint(const fs::path& run, const Layout& layout) {
  std::vector<std::string> passed_over;
  for (const fs::path& path : checkpoints(checkpoint_folder(run))) {
    auto found = read_checkpoint(path, layout);
    if (found) {
      found.value().passed_over = std::move(passed_over);
      return found;
    }
    if (found.error().code != std::errc::illegal_byte_sequence) return found;
    passed_over.push_back(found.error().message);
  }
  if (!passed_over.empty())
    return fail(std::errc::no_such_file_or_directory, "{} has no whole checkpoint: {}",
                run.string(), passed_over.front());
  return fail(std::errc::no_such_file_or_directory,
              "{} has no checkpoint: a run that is to be resumed needs --checkpoint-every",
              run.string());
}

void tidy_checkpoints(const fs::path& run, const Checkpoint& from) {
  const fs::path folder = checkpoint_folder(run);
  std::error_code ignored;
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().filename().string().starts_with(".")) left.push_back(entry.path());
  for (const fs::path& path : left) fs::remove_all(path, ignored);
  for (const fs::path& path : checkpoints(folder)) {
    if (*steps_of(path) <= from.steps) break;
    const fs::path aside = folder / (kDamaged + path.filename().string());
    fs::remove_all(aside, ignored);
    fs::rename(path, aside, ignored);
  }
}

}  // namespace paceline
