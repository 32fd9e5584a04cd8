#include "paceline/layers/safetensors.h"

#include <gmock/gmock.h>

#include <cstring>
#include <limits>
#include <numeric>

#include "paceline/compute/random.h"
#include "temporary_folder.h"
#include "test_seed.h"

namespace paceline {
namespace {

using testing::HasSubstr;

/// A convolution of 2 outputs over 2x2 pixels and 3 channels, and a linear layer of 2 outputs over
/// 1x2 pixels and 3 channels; values count up in our order.
struct Small {
  Layout layout;
  std::vector<float> x;

  Small() {
    layout.tensors = {{"conv1.weight", {2, 2, 2, 3}, 0, 24, {}},
                      {"conv1.bias", {2}, 32, 2, {}},
                      {"fc1.weight", {2, 6}, 48, 12, {3, 1, 2}}};
    layout.elements = 64;
    layout.parameters = 38;
    x.assign(64, 0.0F);
    for (const Tensor& t : layout.tensors) {
      std::iota(&x[t.offset], &x[t.offset] + t.count, static_cast<float>(t.offset));
    }
  }
};

/// A file by hand: the header's text as it is, then the tensors' bytes.
void write_file(const std::filesystem::path& path, const std::string& header, std::size_t bytes,
                std::int64_t claimed = -1) {
  const std::uint64_t length = claimed < 0 ? header.size() : static_cast<std::uint64_t>(claimed);
  std::vector<std::uint8_t> file(8 + header.size() + bytes);
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  write_bytes(path, file);
}

std::string header_of(const std::vector<std::uint8_t>& file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  return {file.begin() + 8, file.begin() + 8 + static_cast<std::ptrdiff_t>(length)};
}

TEST(Safetensors, AFileIsLaidOutAsPublished) {
  const TemporaryFolder folder;
  const Small small;
  ASSERT_TRUE(write_safetensors(folder / "a", small.layout, small.x, {{"network", "small"}}));
  const std::vector<std::uint8_t> file = read_bytes(folder / "a");
  const std::string header = header_of(file);
  EXPECT_EQ(header.size() % 8, 0U);
  EXPECT_EQ(header.substr(0, header.find_last_not_of(' ') + 1),
            R"({"__metadata__":{"network":"small"},)"
            R"("conv1.weight":{"dtype":"F32","shape":[2,3,2,2],"data_offsets":[0,96]},)"
            R"("conv1.bias":{"dtype":"F32","shape":[2],"data_offsets":[96,104]},)"
            R"("fc1.weight":{"dtype":"F32","shape":[2,6],"data_offsets":[104,152]}})");
  ASSERT_EQ(file.size(), 8 + header.size() + 152);
  std::vector<float> values(38);
  std::memcpy(values.data(), file.data() + 8 + header.size(), 152);
  // O,H,W,I counts up, so O,I,H,W steps by the three channels; likewise `in` over C,H,W.
  EXPECT_THAT(std::vector<float>(values.begin(), values.begin() + 12),
              testing::ElementsAre(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11));
  EXPECT_THAT(std::vector<float>(values.begin() + 24, values.begin() + 26),
              testing::ElementsAre(32, 33));
  EXPECT_THAT(std::vector<float>(values.begin() + 26, values.begin() + 32),
              testing::ElementsAre(48, 51, 49, 52, 50, 53));
}

TEST(Safetensors, WhatIsWrittenComesBackBitForBit) {
  const TemporaryFolder folder;
  const Metadata metadata = {{"network", "cnn7"}, {"data", "with \"quotes\" and \xc3\xa9"}};
  for (const char* name : {"lenet", "cnn7", "cnn6", "resnet56", "resnet18"}) {
    const NetworkDescription description = named_network(name).value();
    const auto network = Network::named(name, description.image, description.classes);
    ASSERT_TRUE(network);
    std::vector<float> x(network.value().layout().all_elements());
    network.value().initialise(x, 3);
    ASSERT_TRUE(write_safetensors(folder / name, network.value().layout(), x, metadata));
    const auto read = read_safetensors(folder / name, network.value().layout());
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read.value(), x);
    const auto strings = read_safetensors_metadata(folder / name);
    ASSERT_TRUE(strings);
    EXPECT_EQ(strings.value(), metadata);
  }
}

TEST(Safetensors, RunningStatisticsTravelAndPyTorchsCountOfStepsIsIgnored) {
  const TemporaryFolder folder;
  Layout layout;
  layout.tensors = {{"bn1.weight", {2}, 0, 2, {}}, {"bn1.bias", {2}, 16, 2, {}}};
  layout.buffers = {{"bn1.running_mean", {2}, 32, 2, {}}, {"bn1.running_var", {2}, 48, 2, {}}};
  layout.elements = layout.buffer_elements = 32;
  layout.parameters = 4;
  std::vector<float> x(64);
  for (const std::size_t start : {0, 16, 32, 48}) {
    x[start] = static_cast<float>(start + 1);
    x[start + 1] = static_cast<float>(start + 2);
  }
  ASSERT_TRUE(write_safetensors(folder / "a", layout, x, {}));
  EXPECT_EQ(read_safetensors(folder / "a", layout).value(), x);
  const std::vector<std::uint8_t> file = read_bytes(folder / "a");
  const std::string header = header_of(file);
  EXPECT_THAT(header, HasSubstr("\"bn1.running_var\":{\"dtype\":\"F32\",\"shape\":[2],"));

  std::string counted = header.substr(0, header.find_last_of('}'));
  counted +=
      ",\"bn1.num_batches_tracked\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[32,40]}}";
  std::vector<std::uint8_t> longer(8 + counted.size());
  const std::uint64_t length = counted.size();
  std::memcpy(longer.data(), &length, 8);
  std::memcpy(longer.data() + 8, counted.data(), counted.size());
  longer.insert(longer.end(), file.end() - 32, file.end());
  longer.resize(longer.size() + 8, 7);
  write_bytes(folder / "b", longer);
  const auto read = read_safetensors(folder / "b", layout);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read.value(), x);

  layout.buffers[1].name = "bn2.running_var";
  EXPECT_THAT(read_safetensors(folder / "a", layout).error().message,
              HasSubstr("'bn1.running_var' does not belong"));
}

TEST(Safetensors, NoMetadataIsEmptyAndBrokenUtf8IsReplaced) {
  const TemporaryFolder folder;
  const Small small;
  ASSERT_TRUE(write_safetensors(folder / "a", small.layout, small.x, {}));
  EXPECT_TRUE(read_safetensors_metadata(folder / "a").value().empty());
  ASSERT_TRUE(write_safetensors(folder / "a", small.layout, small.x, {{"data", "\xff"}}));
  EXPECT_EQ(read_safetensors_metadata(folder / "a").value().at("data"), "\xef\xbf\xbd");
}

TEST(Safetensors, TensorsMayLieInAnyOrder) {
  const TemporaryFolder folder;
  Small small;
  Small turned;
  std::ranges::reverse(turned.layout.tensors);
  ASSERT_TRUE(write_safetensors(folder / "a", turned.layout, turned.x, {}));
  EXPECT_EQ(read_safetensors(folder / "a", small.layout).value(), small.x);
}

TEST(Safetensors, AnotherNetworksFileNamesTheFirstTensorThatDiffers) {
  const TemporaryFolder folder;
  const Small small;
  ASSERT_TRUE(write_safetensors(folder / "a", small.layout, small.x, {}));
  const auto error = [&](auto change) {
    Layout layout = small.layout;
    change(layout);
    const auto read = read_safetensors(folder / "a", layout);
    return read ? "" : read.error().message;
  };
  EXPECT_THAT(error([](Layout& l) {
                l.tensors.push_back({"fc9.bias", {2}, 64, 2, {}});
              }),
              HasSubstr("no tensor 'fc9.bias'"));
  EXPECT_THAT(error([](Layout& l) { l.tensors.pop_back(); }),
              HasSubstr("'fc1.weight' does not belong"));
  EXPECT_THAT(error([](Layout& l) {
                l.tensors[0].dimensions = {2, 2, 3, 2};
              }),
              HasSubstr("'conv1.weight' is 2x3x2x2, the network has 2x2x2x3"));
}

TEST(Safetensors, DamagedFilesAreOneClearLineEach) {
  const TemporaryFolder folder;
  const Layout one = [] {
    Layout layout;
    layout.tensors = {{"a", {2}, 0, 2, {}}};
    layout.elements = 16;
    return layout;
  }();
  struct Case {
    std::string header;
    std::size_t bytes;
    std::int64_t claimed;
    const char* says;
  };
  const auto entry = [](const char* name, const char* type, const char* shape, const char* at) {
    return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, type, shape,
                       at);
  };
  const auto only = [&](const char* type, const char* shape, const char* at) {
    return fmt::format("{{{}}}", entry("a", type, shape, at));
  };
  const std::vector<Case> cases = {
      {"", 0, 5, "its header claims 5 of 8 bytes"},
      {"{}", 0, 1 << 30, "its header claims 1073741824 of 10 bytes"},
      {"{", 0, -1, "no JSON object"},
      {"[]", 0, -1, "no JSON object"},
      {"{\"a\":\"\xff\"}", 0, -1, "no JSON object"},
      {std::string(100'000, '['), 0, -1, "no JSON object"},
      {"{}", 0, -1, "no tensor 'a'"},
      {"{}", 4, -1, "fill 0 of 4 bytes"},
      {R"({"a":7})", 8, -1, "'a' lacks dtype, shape or data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, -1, "lacks"},
      {only("F32", "[-2]", "[0,8]"), 8, -1, "lacks"},
      {only("F32", "[2.5]", "[0,8]"), 8, -1, "lacks"},
      {only("F32", "[2]", "[0,8,9]"), 8, -1, "lacks"},
      {only("F32", "[2]", "[0,8]"), 7, -1, "'a' lies at [0, 8) where 0 follows, of 7 bytes"},
      {only("F32", "[2]", "[0,8]"), 9, -1, "fill 8 of 9 bytes"},
      {only("F32", "[2]", "[8,0]"), 8, -1, "lies at [8, 0)"},
      {only("F32", "[2]", "[4,8]"), 8, -1, "lies at [4, 8)"},
      {only("F32", "[2]", "[0,18446744073709551615]"), 8, -1, "lies at [0, 18446744073709551615)"},
      {only("F32", "[2]", "[0,4]"), 4, -1, "takes 4 bytes, not 8"},
      {only("BF16", "[2]", "[0,4]"), 4, -1, "'a' is BF16: convert it to F32"},
      {only("F32", "[1,2]", "[0,8]"), 8, -1, "'a' is 1x2, the network has 2"},
      {fmt::format("{{{},{}}}", entry("a", "F32", "[2]", "[0,8]"),
                   entry("b", "F32", "[2]", "[4,12]")),
       12, -1, "'b' lies at [4, 12) where 8 follows"},
      {R"({"__metadata__":7})", 0, -1, "__metadata__ is no object"},
      {R"({"__metadata__":{"a":7}})", 0, -1, "more than strings"},
  };
  for (const Case& c : cases) {
    write_file(folder / "a", c.header, c.bytes, c.claimed);
    const auto read = read_safetensors(folder / "a", one);
    ASSERT_FALSE(read) << c.header.substr(0, 200);
    EXPECT_THAT(read.error().message,
                testing::AllOf(HasSubstr(c.says), HasSubstr((folder / "a").string()),
                               testing::Not(HasSubstr("\n"))))
        << c.header.substr(0, 200);
  }
}

TEST(Safetensors, LargeHeadersAreReadInTimeOrRefused) {
  constexpr int kNames = 200'000;  // of which a list that is searched would make minutes
  const TemporaryFolder folder;
  std::string header = R"({"__metadata__":{"network":"small"})";
  for (int i = 0; i < kNames; ++i) {
    header += fmt::format(R"(,"t{}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", i);
  }
  header += "}";
  write_file(folder / "a", header, 0);
  const auto metadata = read_safetensors_metadata(folder / "a");
  ASSERT_TRUE(metadata) << metadata.error().message;
  EXPECT_EQ(metadata.value(), (Metadata{{"network", "small"}}));
  EXPECT_THAT(read_safetensors(folder / "a", Small().layout).error().message,
              HasSubstr("does not belong to the network"));

  write_file(folder / "b", "{}" + std::string(16'000'000 - 2, ' '), 0);
  EXPECT_TRUE(read_safetensors_metadata(folder / "b"));
  write_file(folder / "b", "{}" + std::string(16'000'000 - 1, ' '), 0);
  EXPECT_THAT(read_safetensors_metadata(folder / "b").error().message,
              HasSubstr("its header takes 16000001 bytes, more than the 16000000 that are read"));
}

TEST(Safetensors, MissingAndTinyFilesAreErrors) {
  const TemporaryFolder folder;
  EXPECT_THAT(read_safetensors_metadata(folder / "none").error().message,
              HasSubstr("cannot be read (No such file or directory)"));
  write_bytes(folder / "tiny", std::vector<std::uint8_t>(7));
  EXPECT_THAT(read_safetensors_metadata(folder / "tiny").error().message,
              HasSubstr("7 bytes hold no header"));
  EXPECT_FALSE(read_safetensors_metadata(folder.path()));
}

TEST(Safetensors, NoDamageOfAHeaderOrAnEndIsEverReadAsWhole) {
  const TemporaryFolder folder;
  const Small small;
  ASSERT_TRUE(write_safetensors(folder / "a", small.layout, small.x, {{"network", "small"}}));
  const std::vector<std::uint8_t> whole = read_bytes(folder / "a");
  const std::size_t header_end = 8 + header_of(whole).size();
  Rng rng(test_seed());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_bytes(folder / "b", std::span(whole).first(length));
    EXPECT_FALSE(read_safetensors(folder / "b", small.layout)) << length << " bytes";
  }
  for (int i = 0; i < 1000; ++i) {
    std::vector<std::uint8_t> file = whole;
    const std::size_t at = rng.below(header_end);
    file[at] ^= static_cast<std::uint8_t>(1 + rng.below(255));
    write_bytes(folder / "b", file);
    const auto read = read_safetensors(folder / "b", small.layout);
    // Damage may hit the metadata's text or the padding; then the tensors are still right.
    if (read) {
      EXPECT_EQ(read.value(), small.x) << "byte " << at;
    }
  }
}

TEST(Safetensors, NamedVectorsComeBackBitForBitAndDamagedOnesNever) {
  const TemporaryFolder folder;
  const std::vector<float> a{0.0F, -0.0F, 1e-42F, std::numeric_limits<float>::infinity()}, none;
  const std::vector<float> b(100, 0.1F);
  const std::vector<NamedVector> vectors{{"worker.0.x", a}, {"empty", none}, {"centre.x", b}};
  ASSERT_TRUE(write_named_vectors(folder / "a", vectors));
  const auto read = read_named_vectors(folder / "a");
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read.value().size(), 3U);
  for (const NamedVector& v : vectors) {
    const std::vector<float>& back = read.value().at(v.name);
    ASSERT_EQ(back.size(), v.values.size());
    EXPECT_EQ(std::memcmp(back.data(), v.values.data(), v.values.size_bytes()), 0) << v.name;
  }
  const std::vector<std::uint8_t> whole = read_bytes(folder / "a");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write_bytes(folder / "b", std::span(whole).first(length));
    EXPECT_FALSE(read_named_vectors(folder / "b")) << length << " bytes";
  }
  for (const char* header :
       {R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})",
        R"({"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})",
        R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
        R"({"a":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}})"}) {
    write_file(folder / "c", header, 8);
    EXPECT_FALSE(read_named_vectors(folder / "c")) << header;
  }
}

}  // namespace
}  // namespace paceline
