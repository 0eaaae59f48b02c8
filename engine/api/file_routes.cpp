// Files of containers: /containers/{name}/archive (docker cp) and export (docker-api.md 5).
#include <sys/stat.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/api/api.h"
#include "engine/api/body_pipe.h"
#include "engine/container_copy.h"
#include "engine/containers.h"

namespace wherry::engine::api {

namespace {

constexpr size_t kPiece = size_t{32} << 10;
constexpr const char* kStatHeader = "X-Docker-Container-Path-Stat";

// Runs `work` on a worker with what it needs of a container, then `done` on the loop. A container
// that does not run is locked meanwhile.
template <class T>
void OnFiles(WorkerPool* pool, const Services& services, const ContainerPtr& container,
             std::move_only_function<Result<T>(CopyTarget&)> work,
             std::move_only_function<void(Result<T>)> done) {
  auto run = [pool, services, container, work = std::move(work),
              done = std::move(done)](bool locked) mutable {
    pool->Run([services, container, locked, work = std::move(work), done = std::move(done),
               target = CopyTargetOf(*container, *services.images, *services.volumes)]() mutable {
      auto result = std::make_shared<Result<T>>(work(target));
      services.loop->Post([services, container, locked, result, done = std::move(done)]() mutable {
        if (locked)
          services.containers->Unlock(container);
        done(std::move(*result));
      });
    });
  };
  if (HasProcess(container->state))
    return run(false);
  services.containers->Lock(container, [run = std::move(run)]() mutable { run(true); });
}

struct ModeBit {
  uint32_t mode;
  uint32_t bit;
};
// From st_mode to Go's os.FileMode.
constexpr ModeBit kTypes[] = {
    {S_IFDIR, 1U << 31},
    {S_IFLNK, 1U << 27},
    {S_IFBLK, 1U << 26},
    {S_IFIFO, 1U << 25},
    {S_IFCHR, 1U << 26 | 1U << 21},
    {S_IFSOCK, 1U << 24},
};
constexpr ModeBit kFlags[] = {{S_ISUID, 1U << 23}, {S_ISGID, 1U << 22}, {S_ISVTX, 1U << 20}};

uint32_t GoMode(uint32_t mode) {
  uint32_t result = mode & 0777;
  for (const ModeBit& row : kTypes)
    result |= (mode & S_IFMT) == row.mode ? row.bit : 0;
  for (const ModeBit& row : kFlags)
    result |= (mode & row.mode) != 0 ? row.bit : 0;
  return result;
}

std::string StatHeader(const PathStat& stat) {
  JsonWriter json;
  json.Object().Field("name", stat.name).Field("size", stat.size).Field("mode", GoMode(stat.mode));
  json.Field("mtime", FormatRfc3339Nano(stat.mtime_nanos)).Field("linkTarget", stat.link_target);
  json.End();
  return Base64Encode(json.text());
}

Result<> Send(ByteSource& archive, DownloadPipe& pipe) {
  std::string piece(kPiece, '\0');
  for (;;) {
    size_t count = TRY(archive.Read(std::as_writable_bytes(std::span(piece))));
    if (count == 0)
      return {};
    TRY(pipe.Write(std::string_view(piece).substr(0, count)));
  }
}

// The container and the path that are asked for, or nothing after an error was sent.
ContainerPtr FindOrReply(const Services& services, const Call& call, bool with_path) {
  auto found = services.containers->Find(call.name);
  if (found && with_path && call.request().param("path").empty())
    found = Fail(Errc::kInvalid, "bad parameter: 'path' cannot be empty");
  if (found)
    return std::move(*found);
  ReplyError(*call.exchange, found.error());
  return nullptr;
}

void StatPath(const Services& services, const Call& call, const ContainerPtr& container) {
  OnFiles<PathStat>(
      services.workers, services, container,
      [path = std::string(call.request().param("path"))](CopyTarget& target) -> Result<PathStat> {
        auto source = TRY(CopySource::Open(target, path));
        return source.stat();
      },
      [exchange = call.exchange](Result<PathStat> stat) {
        if (!stat)
          return ReplyError(*exchange, stat.error());
        exchange->Reply(200, {{kStatHeader, StatHeader(*stat)}}, {});
      });
}

void GetArchive(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call, true);
  if (!container)
    return;
  if (call.request().method == "HEAD")
    return StatPath(services, call, container);
  std::string path(call.request().param("path"));
  auto pipe = std::make_shared<DownloadPipe>(services.loop, call.exchange, "application/x-tar");
  pipe->Begin();
  services.containers->Publish(*container, "archive-path");
  OnFiles<void>(
      services.archives, services, container,
      [pipe, path](CopyTarget& target) -> Result<> {
        auto slot = TRY(target.images->BeginArchive(pipe->cancel()));
        auto source = TRY(CopySource::Open(target, path));
        pipe->AddHeader(kStatHeader, StatHeader(source.stat()));
        auto archive = std::move(source).Archive();
        return Send(*archive, *pipe);
      },
      [pipe](Result<> sent) { pipe->Finish(sent); });
}

void PutArchive(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call, true);
  if (!container)
    return;
  const http::Request& request = call.request();
  CopyOptions options{request.flag("noOverwriteDirNonDir"), request.flag("copyUIDGID")};
  auto pipe = std::make_shared<UploadPipe>(services.loop, call.exchange);
  pipe->Begin();
  services.containers->Publish(*container, "extract-to-dir");
  OnFiles<void>(
      services.archives, services, container,
      [pipe, options, path = std::string(request.param("path"))](CopyTarget& target) -> Result<> {
        auto slot = TRY(target.images->BeginArchive(pipe->cancel()));
        return CopyInto(target, path, *pipe, options);
      },
      [exchange = call.exchange](Result<> done) {
        if (!done)
          return ReplyError(*exchange, done.error());
        ReplyEmpty(*exchange, 200);
      });
}

void Export(const Services& services, Call call) {
  ContainerPtr container = FindOrReply(services, call, false);
  if (!container)
    return;
  auto pipe =
      std::make_shared<DownloadPipe>(services.loop, call.exchange, "application/octet-stream");
  pipe->Begin();
  services.containers->Publish(*container, "export");
  OnFiles<void>(
      services.archives, services, container,
      [pipe](CopyTarget& target) -> Result<> {
        auto slot = TRY(target.images->BeginArchive(pipe->cancel()));
        auto archive = TRY(ExportContainer(target));
        return Send(*archive, *pipe);
      },
      [pipe](Result<> sent) { pipe->Finish(sent); });
}

constexpr Route kRoutes[] = {
    {"GET", "/containers/{name}/archive", GetArchive, false, Access::kAdmin},
    {"PUT", "/containers/{name}/archive", PutArchive, true},
    {"GET", "/containers/{name}/export", Export, false, Access::kAdmin},
};

}  // namespace

std::span<const Route> FileRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
