// A service of its own that hosts a paceline run in its own actor system.
#include <paceline/actors/caf_compat.h>
#include <paceline/actors/run.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>

int main() {
  caf::actor_system_config config;
  paceline::use_sharing_scheduler(config, 2);
  caf::actor_system system{config};

  const auto data = paceline::open_data("synthetic:train=512,test=256").value();
  const auto network =
      paceline::Network::named("lenet", data.train->image, data.train->classes).value();
  paceline::RunOptions options;
  options.steps = 10;
  options.batch = 32;
  options.sgd.learning_rate = network.learning_rate();
  options.directory =
      std::filesystem::temp_directory_path() / ("paceline-embed-" + std::to_string(::getpid()));
  std::filesystem::create_directories(options.directory);

  paceline::RunControl control;
  const auto summary = paceline::run(system, options, network, data, control, nullptr);
  if (!summary) return std::fprintf(stderr, "%s\n", summary.error().message.c_str()), 1;
  std::printf("embedded run: %llu steps, test error of the leader %.3f\n",
              static_cast<unsigned long long>(summary.value().steps),
              summary.value().test_error_leader);
  std::filesystem::remove_all(options.directory);
}
