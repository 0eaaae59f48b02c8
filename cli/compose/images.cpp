#include "cli/compose/images.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "cli/compose/containers.h"
#include "cli/pull.h"
#include "cli/table.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace wherry::cli {

namespace {

constexpr OptionKind kFlag = OptionKind::kFlag;

constexpr Option kBuild[] = {
    {"build-arg", 0, OptionKind::kList, "NAME[=VALUE]", "Value of an ARG"},
    {"no-cache", 0, kFlag, "", "Carry out every instruction"},
    {"pull", 0, kFlag, "", "Look for newer base images in their registries"},
    {"quiet", 'q', kFlag, "", "Print the images' IDs only"},
};
constexpr Option kPull[] = {
    {"ignore-pull-failures", 0, kFlag, "", "Go on when an image cannot be pulled"},
    {"include-deps", 0, kFlag, "", "Those of services depended on, too"},
    {"quiet", 'q', kFlag, "", "No progress"},
};
constexpr Option kImages[] = {{"quiet", 'q', kFlag, "", "Only IDs"}};

// Adds "--NAME" "TEXT".
void AddOption(std::vector<std::string>& words, std::string_view name, std::string_view text) {
  words.push_back(Cat("--", name));
  words.emplace_back(text);
}

// A file without a name for a Dockerfile that stands in the compose file.
Result<UniqueFd> InlineDockerfile(const std::string& text) {
  UniqueFd file(memfd_create("Dockerfile", MFD_CLOEXEC));
  if (!file)
    return FailSys("memfd_create");
  TRY(WriteAll(file.get(), text, "Dockerfile"));
  return file;
}

// The words of the `build` command that does it.
std::vector<std::string> BuildWords(const compose::Service& service, const std::string& dockerfile,
                                    const Arguments& arguments) {
  const compose::Build& build = *service.build;
  std::vector<std::string> words;
  AddOption(words, "tag", service.image);
  for (const std::string& tag : build.tags)
    AddOption(words, "tag", tag);
  if (!dockerfile.empty())
    AddOption(words, "file", dockerfile);
  for (const auto& [name, value] : build.args)
    AddOption(words, "build-arg", value ? Cat(name, "=", *value) : name);
  for (const std::string& word : arguments.List("build-arg"))
    AddOption(words, "build-arg", word);
  for (const auto& [name, value] : build.labels)
    AddOption(words, "label", Cat(name, "=", value));
  if (!build.target.empty())
    AddOption(words, "target", build.target);
  if (!build.network.empty())
    AddOption(words, "network", build.network);
  if (!service.platform.empty())
    AddOption(words, "platform", service.platform);
  if (build.no_cache || arguments.Flag("no-cache"))
    words.emplace_back("--no-cache");
  if (build.pull || arguments.Flag("pull"))
    words.emplace_back("--pull");
  if (arguments.Flag("quiet"))
    words.emplace_back("--quiet");
  words.push_back(build.context);
  return words;
}

Result<> Build(const ComposeCall& call, const compose::Service& service) {
  const compose::Build& build = *service.build;
  Say(Cat("Building ", service.name));
  UniqueFd text;
  std::string dockerfile = build.dockerfile;
  if (!build.inline_text.empty()) {
    text = TRY(InlineDockerfile(build.inline_text));
    dockerfile = Cat("/proc/self/fd/", text.get());
  } else if (!dockerfile.empty() && !dockerfile.starts_with('/')) {
    dockerfile = Cat(build.context, "/", dockerfile);
  }
  auto words = BuildWords(service, dockerfile, call.arguments);
  Arguments arguments = TRY(ParseArguments(BuildOptions(), words, Positional::kMixed));
  TRY_CTX(Cat("build of ", service.name),
          BuildCommand({call.client, arguments, call.outer.config_file}));
  return {};
}

Result<> Pull(const ComposeCall& call, const compose::Service& service, bool quiet) {
  Say(Cat("Pulling ", service.image, " for ", service.name));
  PullRequest request{service.platform, quiet, STDERR_FILENO};
  return PullImage(call.client, service.image, request);
}

Result<JsonDocument> Inspect(Client& client, const std::string& image) {
  return client.Get(Target(Cat("/images/", Segment(image), "/json")));
}

Result<> Provide(const ComposeCall& call, const compose::Service& service) {
  if (service.build)
    return Build(call, service);
  if (service.pull_policy == "never") {
    return Fail(Errc::kNotFound, Cat("the image ", service.image, " of service ", service.name,
                                     " is not here, and its pull_policy is never"));
  }
  return Pull(call, service, call.arguments.Flag("quiet-pull"));
}

}  // namespace

std::span<const Option> ComposeBuildOptions() {
  return kBuild;
}
std::span<const Option> ComposePullOptions() {
  return kPull;
}
std::span<const Option> ComposeImagesOptions() {
  return kImages;
}

Result<ServiceImage> ProvideImage(const ComposeCall& call, const compose::Service& service,
                                  BuildWhen build) {
  bool always_build = build == BuildWhen::kAlways || service.pull_policy == "build";
  if (service.build && always_build && build != BuildWhen::kNever) {
    TRY(Build(call, service));
  } else if (!service.build && service.pull_policy == "always") {
    TRY(Pull(call, service, call.arguments.Flag("quiet-pull")));
  }
  auto image = Inspect(call.client, service.image);
  if (!image && image.error().code() == Errc::kNotFound) {
    if (service.build && build == BuildWhen::kNever) {
      return Fail(Errc::kNotFound, Cat("the image of service ", service.name,
                                       " is not built, and --no-build was given"));
    }
    TRY(Provide(call, service));
    image = Inspect(call.client, service.image);
  }
  if (!image)
    return std::unexpected(std::move(image).error());
  ServiceImage result;
  result.id = (*image)["Id"].str();
  for (JsonValue volume : (*image)["Config"]["Volumes"])
    result.volumes.emplace_back(volume.key());
  return result;
}

Result<int> ComposeBuild(const ComposeCall& call) {
  for (const compose::Service* service :
       TRY(ServicesOf(call, call.words(), compose::Dependencies::kLeaveOut))) {
    if (service->build)
      TRY(Build(call, *service));
  }
  return 0;
}

Result<int> ComposePull(const ComposeCall& call) {
  auto dependencies = call.arguments.Flag("include-deps") ? compose::Dependencies::kInclude
                                                          : compose::Dependencies::kLeaveOut;
  for (const compose::Service* service : TRY(ServicesOf(call, call.words(), dependencies))) {
    if (service->build)
      continue;
    auto pulled = Pull(call, *service, call.arguments.Flag("quiet"));
    if (!pulled && !call.arguments.Flag("ignore-pull-failures"))
      return std::unexpected(std::move(pulled).error().Wrap(Cat("pull ", service->image)));
    if (!pulled)
      Say(Cat("WARNING: ", service->image, ": ", pulled.error().message()));
  }
  return 0;
}

Result<int> ComposePush(const ComposeCall& call) {
  for (const compose::Service* service :
       TRY(ServicesOf(call, call.words(), compose::Dependencies::kLeaveOut))) {
    if (!service->build)
      continue;
    Say(Cat("Pushing ", service->image));
    TRY(PushImage(call.client, service->image, {.all_tags = false, .quiet = false, .output = 2}));
  }
  return 0;
}

Result<int> ComposeImages(const ComposeCall& call) {
  auto all = TRY(ListContainers(call.client, call.project.group.name, OneOffs::kLeaveOut));
  std::vector<std::vector<std::string>> rows{{"CONTAINER", "IMAGE", "IMAGE ID", "SIZE"}};
  std::string ids;
  for (const GroupContainer& container : ContainersOf(all, call.words())) {
    auto image = Inspect(call.client, container.image);
    std::string id(image ? (*image)["Id"].str() : std::string_view());
    id = id.starts_with("sha256:") ? id.substr(7, 12) : id;
    Append(ids, id, "\n");
    auto size = static_cast<uint64_t>(image ? (*image)["Size"].integer() : 0);
    rows.push_back({container.name, container.image, id, FormatSize(size)});
  }
  TRY(Print(call.arguments.Flag("quiet") ? ids : FormatTable(rows)));
  return 0;
}

}  // namespace wherry::cli
