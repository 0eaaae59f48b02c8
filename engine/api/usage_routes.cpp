// GET /system/df: what images and containers take on the disk.
#include <fcntl.h>

#include <algorithm>
#include <map>

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/container_json.h"
#include "engine/api/image_json.h"
#include "engine/api/volume_json.h"
#include "engine/containers.h"
#include "engine/disk_use.h"
#include "engine/volumes.h"

namespace wherry::engine::api {

namespace {

struct DiskUse {
  uint64_t store_bytes = 0;
  std::string images;  // JSON
  std::map<Digest, uint64_t> image_bytes;
  std::map<std::string, uint64_t> containers;  // by ID
  std::map<std::string, uint64_t> volumes;     // by name
};

std::string DiskUseJson(const Services& services, const DiskUse& use, std::string_view wanted) {
  auto shows = [wanted](std::string_view type) { return wanted.empty() || wanted == type; };
  JsonWriter json;
  json.Object().Field("LayersSize", shows("image") ? use.store_bytes : 0);
  json.Key("Images").Raw(shows("image") ? use.images : "[]");
  json.Key("Containers").Array();
  int64_t now = UnixNanosNow();
  for (const ContainerPtr& container : services.containers->All()) {
    auto measured = use.containers.find(container->id);
    if (!shows("container") || measured == use.containers.end())
      continue;
    auto image = use.image_bytes.find(container->manifest);
    uint64_t below = image != use.image_bytes.end() ? image->second : 0;
    ContainerSize size{measured->second, measured->second + below};
    WriteContainerSummary(json, *container, *services.networks, now, &size);
  }
  json.End().Key("Volumes").Array();
  for (const Volume& volume : services.volumes->List()) {
    auto measured = use.volumes.find(volume.name);
    if (!shows("volume") || measured == use.volumes.end())
      continue;
    VolumeUse usage{measured->second, services.containers->UsersOfVolume(volume.name).size()};
    WriteVolume(json, *services.volumes, volume, &usage);
  }
  json.End().Key("BuildCache").Array().End();
  json.Field("BuilderSize", 0).End();
  return json.Take();
}

Result<DiskUse> MeasureImages(Images& images, const std::map<Digest, size_t>& users) {
  DiskUse use;
  store::Usage usage = TRY(images.Measure());
  use.store_bytes = usage.total_bytes;
  std::map<Digest, ImageSize> sizes;
  for (const store::ImageUsage& image : usage.images) {
    sizes[image.manifest_digest] = {image.size_bytes, image.size_bytes - image.unique_bytes, 0};
    use.image_bytes[image.manifest_digest] = image.size_bytes;
  }
  for (const auto& [image, count] : users)
    sizes[image].containers = count;
  JsonWriter json;
  json.Array();
  images.ForEach([&](const ImageSummary& image) {
    WriteImageSummary(json, image, &sizes[image.image->manifest_digest]);
  });
  json.End();
  use.images = json.Take();
  return use;
}

void DiskUsage(const Services& services, Call call) {
  std::string type(call.request().param("type"));
  constexpr std::string_view kTypes[] = {"", "image", "container", "volume", "build-cache"};
  if (std::ranges::find(kTypes, type) == std::end(kTypes))
    return ReplyError(*call.exchange, Error(Errc::kInvalid, Cat("unknown object type: ", type)));
  std::vector<std::pair<std::string, std::string>> directories;
  std::map<Digest, size_t> users;
  for (const ContainerPtr& container : services.containers->All()) {
    directories.emplace_back(container->id, container->directory);
    ++users[container->manifest];
  }
  OnWorker<DiskUse>(
      services,
      [services, directories = std::move(directories),
       users = std::move(users)]() -> Result<DiskUse> {
        DiskUse use = TRY(MeasureImages(*services.images, users));
        for (const auto& [id, directory] : directories)
          use.containers[id] = AllocatedBelow(AT_FDCWD, directory);
        for (const Volume& volume : services.volumes->List())
          use.volumes[volume.name] = TRY(services.volumes->Measure(volume.name));
        return use;
      },
      [services, type, exchange = call.exchange](Result<DiskUse> use) {
        if (!use)
          return ReplyError(*exchange, use.error());
        ReplyJson(*exchange, 200, DiskUseJson(services, *use, type));
      });
}

constexpr Route kRoutes[] = {
    {"GET", "/system/df", DiskUsage},
};

}  // namespace

std::span<const Route> UsageRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
