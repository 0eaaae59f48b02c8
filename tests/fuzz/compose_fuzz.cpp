// Compose files and files of variables: any text is refused or becomes a group whose requests are
// JSON, and what `config` prints of it can be read again.
#include <cstdint>

#include "core/base/json.h"
#include "engine/compose/body.h"
#include "engine/compose/load.h"

namespace {

namespace compose = wherry::compose;

void Bodies(const compose::Group& group) {
  compose::Instance instance;
  instance.name = "name";
  instance.volumes = {{"volume", "/anonymous"}};
  for (const compose::Service& service : group.services) {
    if (!wherry::JsonDocument::Parse(ContainerBody(group, service, instance), "body"))
      __builtin_trap();
    (void)ConfigHash(group, service);
  }
  for (const compose::Network& network : group.networks)
    (void)NetworkBody(group, network);
  for (const compose::Volume& volume : group.volumes)
    (void)VolumeBody(group, volume);
  if (!SelectServices(group, {}, {"*"}, compose::Dependencies::kInclude))
    __builtin_trap();  // Load has checked it
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  compose::Environment environment = {{"A", "a"}, {"N", "1"}, {"HOME", "/home"}};
  (void)compose::ParseEnvFile(text, environment);
  compose::Sources sources;
  // A line of four dashes divides it into files that are merged.
  size_t half = text.find("\n----\n");
  sources.files.push_back({"one", "/one", std::string(text.substr(0, half))});
  if (half != text.npos)
    sources.files.push_back({"two", "/two", std::string(text.substr(half + 6))});
  sources.directory = "/dir";
  sources.name = "group";
  sources.environment = environment;
  sources.read_file = [&](const std::string&) { return std::string(text); };
  auto loaded = compose::Load(sources);
  if (!loaded)
    return 0;
  Bodies(loaded->group);
  if (!compose::ParseYaml(WriteYaml(loaded->tree), "again", 0))
    __builtin_trap();
  return 0;
}
