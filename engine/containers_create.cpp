// Creating and renaming containers: see containers.h.
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/scope.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/oci/platform.h"
#include "engine/container_files.h"
#include "engine/container_names.h"
#include "engine/container_record.h"
#include "engine/containers.h"
#include "engine/quota.h"

namespace wherry::engine {

namespace {

constexpr int kNameAttempts = 64;

// What a worker makes of a creation: everything of the container but its name's registration.
struct Draft {
  ContainerPtr container;
  std::vector<std::string> warnings;
};

Result<> CheckPlatform(std::string_view wanted, const OpenImage& image) {
  if (wanted.empty())
    return {};
  oci::Platform platform = TRY(oci::ParsePlatform(wanted));
  if (oci::PlatformScore(platform, image.config.platform) > 0)
    return {};
  return Fail(Errc::kNotFound,
              Cat("image with reference ", image.name, " was found but its platform (",
                  oci::PlatformName(image.config.platform),
                  ") does not match the specified platform (", wanted, ")"));
}

Result<ContainerConfig> ReadRequest(JsonValue body, const OpenImage& image,
                                    const RequestDefaults& defaults) {
  NormalisedRequest request = TRY(NormaliseRequest(body, image.config, defaults));
  ContainerConfig config = TRY(ParseContainerConfig(std::move(request)));
  TRY(CheckBindSources(config, MissingSource::kReportOnly));
  return config;
}

// Worker: looks up the image, checks the request, writes the record.
Result<Draft> MakeDraft(const Containers::Environment& env,
                        const Containers::CreateRequest& request, ContainerPtr container) {
  auto body = TRY(JsonDocument::Parse(request.body, "request body"));
  std::string_view image_name = body["Image"].str();
  if (!body.root().IsObject()) {
    return Fail(Errc::kInvalid, "config cannot be empty in order to create a container");
  }
  if (image_name.empty())
    return Fail(Errc::kInvalid, "no image specified (Config.Image)");
  OpenImage image = TRY(env.images->Open(image_name));
  TRY(CheckPlatform(request.platform, image));
  ContainerConfig config =
      TRY(ReadRequest(body.root(), image,
                      {std::string_view(container->id).substr(0, 12), env.config->default_network,
                       env.config->storage_size}));
  if (config.host.storage_size > 0)
    TRY(CheckQuota(env.config->root));
  for (EndpointRequest& endpoint : config.endpoints) {
    auto network = env.networks->Find(endpoint.network);
    if (!network)  // not kNotFound: clients would take that for a missing image, and pull it
      return Fail(Errc::kInvalid, std::string(network.error().message()));
    endpoint.network = network->name;
  }
  config.networking_json = EndpointsJson(config.endpoints);
  LocateVolumes(env.config->root, config);
  container->config = std::make_shared<const ContainerConfig>(std::move(config));
  container->image_id = image.id;
  container->manifest = image.manifest_digest;
  container->pin = image.pin;
  container->created_nanos = UnixNanosNow();

  TRY(env.volumes->Ensure(*container->config));
  ScopeExit undo([&container] { (void)RemoveTree(container->directory); });
  TRY_CTX("cannot store the container", SaveRecord(container->directory, RecordOf(*container)));
  undo.Disarm();
  Draft draft{container, CreateWarnings(*container->config)};
  return draft;
}

}  // namespace

Result<std::string> Containers::ReserveName(std::string_view wanted) {
  if (!wanted.empty()) {
    std::string name = TRY(ValidateName(wanted));
    if (auto taken = by_name_.find(name); taken != by_name_.end()) {
      return Fail(
          Errc::kConflict,
          Cat("Conflict. The container name \"/", name, "\" is already in use by container \"",
              taken->second->id,
              "\". You have to remove (or rename) that container to be able to reuse that name."));
    }
    if (!reserved_names_.insert(name).second) {
      return Fail(Errc::kConflict, Cat("Conflict. The container name \"/", name,
                                       "\" is being taken by another request at this moment."));
    }
    return name;
  }
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    std::string name = RandomName(attempt);
    if (!by_name_.contains(name) && reserved_names_.insert(name).second)
      return name;
  }
  return Fail(Errc::kInternal, "cannot make up a free container name; give one with --name");
}

void Containers::Insert(ContainerPtr container) {
  by_name_[container->name] = container;
  by_id_[container->id] = std::move(container);
}

void Containers::Create(CreateRequest request, Done<Created> done) {
  auto name = ReserveName(request.name);
  if (!name)
    return done(std::unexpected(std::move(name).error()));
  auto container = std::make_shared<Container>();
  container->id = RandomId();
  container->name = *name;
  container->directory = Directory(container->id);
  container->run_directory = RunDirectory(container->id);
  OnWorker<Draft>([env = env_, container,
                   request = std::move(request)] { return MakeDraft(env, request, container); },
                  [this, reserved = *name, done = std::move(done)](Result<Draft> draft) mutable {
                    reserved_names_.erase(reserved);
                    if (!draft)
                      return done(std::unexpected(std::move(draft).error()));
                    Insert(draft->container);
                    Publish(*draft->container, "create");
                    done(Created{draft->container->id, std::move(draft->warnings)});
                  });
}

void Containers::Rename(ContainerPtr container, std::string_view new_name, Done<> done) {
  auto name =
      ReserveName(new_name.empty() ? "/" : new_name);  // an empty name is invalid, not made up
  if (!name)
    return done(std::unexpected(std::move(name).error()));
  WhenIdle(container, [this, container, name = *name, done = std::move(done)]() mutable {
    ++container->holds;
    ContainerRecord record = RecordOf(*container);
    record.name = name;
    OnWorker<void>([directory = container->directory,
                    record = std::move(record)] { return SaveRecord(directory, record); },
                   [this, container, name, done = std::move(done)](Result<> saved) mutable {
                     reserved_names_.erase(name);
                     if (saved) {
                       std::string old_name = std::exchange(container->name, name);
                       by_name_.erase(old_name);
                       by_name_[name] = container;
                       Publish(*container, "rename", {{"oldName", Cat("/", old_name)}});
                     }
                     Release(container);
                     done(std::move(saved));
                   });
  });
}

}  // namespace wherry::engine
