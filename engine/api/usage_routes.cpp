// GET /system/df: what images and containers take on the disk.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/container_json.h"
#include "engine/api/image_json.h"
#include "engine/containers.h"

namespace wherry::engine::api {

namespace {

constexpr uint64_t kBlock = 512;

struct DiskUse {
  store::Usage store;
  std::vector<ImageSummary> images;
  std::map<std::string, uint64_t> containers;  // by ID
};

// Allocated bytes of a file or of a directory with all that is in it. What disappears meanwhile is
// nothing.
uint64_t AllocatedBelow(int parent, const std::string& name) {
  struct stat info;
  if (fstatat(parent, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return 0;
  uint64_t bytes = static_cast<uint64_t>(info.st_blocks) * kBlock;
  if (!S_ISDIR(info.st_mode))
    return bytes / std::max<uint64_t>(info.st_nlink, 1);
  auto dir = OpenAt(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  auto names = dir ? ListDirFd(dir->get()) : Result<std::vector<std::string>>();
  if (!names)
    return bytes;
  for (const std::string& entry : *names)
    bytes += AllocatedBelow(dir->get(), entry);
  return bytes;
}

std::string DiskUseJson(const Services& services, const DiskUse& use, std::string_view wanted) {
  auto shows = [wanted](std::string_view type) { return wanted.empty() || wanted == type; };
  std::map<Digest, ImageSize> sizes;
  for (const store::ImageUsage& image : use.store.images)
    sizes[image.manifest_digest] = {image.size_bytes, image.size_bytes - image.unique_bytes, 0};
  auto containers = services.containers->All();
  for (const ContainerPtr& container : containers)
    ++sizes[container->manifest].containers;
  JsonWriter json;
  json.Object().Field("LayersSize", shows("image") ? use.store.total_bytes : 0);
  json.Key("Images").Array();
  for (const ImageSummary& image : use.images) {
    if (shows("image"))
      WriteImageSummary(json, image, &sizes[image.image->manifest_digest]);
  }
  json.End().Key("Containers").Array();
  int64_t now = UnixNanosNow();
  for (const ContainerPtr& container : containers) {
    auto measured = use.containers.find(container->id);
    if (!shows("container") || measured == use.containers.end())
      continue;
    ContainerSize size{measured->second, measured->second + sizes[container->manifest].total};
    WriteContainerSummary(json, *container,
                          services.containers->EffectiveNetwork(*container->config), now, &size);
  }
  json.End().Key("Volumes").Array().End().Key("BuildCache").Array().End();
  json.Field("BuilderSize", 0).End();
  return json.Take();
}

void DiskUsage(const Services& services, Call call) {
  std::string type(call.request().param("type"));
  constexpr std::string_view kTypes[] = {"", "image", "container", "volume", "build-cache"};
  if (std::ranges::find(kTypes, type) == std::end(kTypes))
    return ReplyError(*call.exchange, Error(Errc::kInvalid, Cat("unknown object type: ", type)));
  std::vector<std::pair<std::string, std::string>> directories;
  for (const ContainerPtr& container : services.containers->All())
    directories.emplace_back(container->id, container->directory);
  OnWorker<DiskUse>(
      services,
      [services, directories = std::move(directories)]() -> Result<DiskUse> {
        DiskUse use;
        use.store = TRY(services.images->Measure());
        use.images = TRY(services.images->List());
        for (const auto& [id, directory] : directories)
          use.containers[id] = AllocatedBelow(AT_FDCWD, directory);
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
