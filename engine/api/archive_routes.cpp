// /images/get, /images/load and the import of /images/create: images as archives.
#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/api/api.h"
#include "engine/api/body_pipe.h"
#include "engine/image_import.h"

namespace wherry::engine::api {

namespace {

void Save(const Services& services, Call call, std::vector<std::string> names) {
  auto pipe =
      std::make_shared<DownloadPipe>(services.loop, std::move(call.exchange), "application/x-tar");
  pipe->Begin();
  services.archives->Run([services, pipe = std::move(pipe), names = std::move(names)]() mutable {
    auto sink = [&pipe](std::string_view bytes) { return pipe->Write(bytes); };
    auto result = std::make_shared<Result<>>(services.images->Save(names, sink, pipe->cancel()));
    if (!*result)
      LogWarning("save of ", Join(names, ", "), ": ", result->error().message());
    services.loop->Post([pipe = std::move(pipe), result] { pipe->Finish(*result); });
  });
}

void SaveImage(const Services& services, Call call) {
  std::vector<std::string> names{call.name};
  Save(services, std::move(call), std::move(names));
}

void SaveImages(const Services& services, Call call) {
  std::vector<std::string> names;
  auto [first, last] = call.request().query.equal_range("names");
  for (auto name = first; name != last; ++name)
    names.push_back(name->second);
  Save(services, std::move(call), std::move(names));
}

std::string StreamLine(std::string_view text) {
  JsonWriter json;
  json.Object().Field("stream", text).End();
  return Cat(json.text(), "\r\n");
}

std::string LoadedLines(const LoadedImage& image) {
  std::string lines;
  for (const auto& [name, id] : image.taken) {
    lines += StreamLine(Cat("The image ", name, " already exists, renaming the old one with ID ",
                            id.string(), " to empty string\n"));
  }
  for (const std::string& name : image.names)
    lines += StreamLine(Cat("Loaded image: ", name, "\n"));
  if (image.names.empty())
    lines += StreamLine(Cat("Loaded image ID: ", image.id.string(), "\n"));
  return lines;
}

void LoadImages(const Services& services, Call call) {
  using Loaded = Result<std::vector<LoadedImage>>;
  auto exchange = call.exchange;
  auto pipe = std::make_shared<UploadPipe>(services.loop, exchange);
  pipe->Begin();
  services.archives->Run([services, pipe = std::move(pipe),
                          exchange = std::move(exchange)]() mutable {
    auto loaded = std::make_shared<Loaded>(services.images->Load(*pipe, pipe->cancel()));
    if (!*loaded)
      LogWarning("load of images: ", loaded->error().message());
    services.loop->Post([services, pipe = std::move(pipe), exchange = std::move(exchange), loaded] {
      if (!*loaded)
        return ReplyError(*exchange, loaded->error());
      std::string lines;
      for (const LoadedImage& image : **loaded) {
        std::string id = image.id.string();
        services.events->Publish({"image", "load", id, {{"name", id}}});
        lines += LoadedLines(image);
      }
      exchange->Reply(200, {{"Content-Type", "application/json"}}, std::move(lines));
    });
  });
}

Result<ImportRequest> ReadImport(const http::Request& request) {
  if (request.param("fromSrc") != "-") {
    return Fail(Errc::kUnsupported,
                "import from an address is not supported; fetch it and send it as the body");
  }
  ImportRequest import;
  import.comment = request.param("message");
  auto [first, last] = request.query.equal_range("changes");
  for (auto change = first; change != last; ++change)
    import.changes.push_back(change->second);
  std::string_view repository = request.param("repo");
  std::string_view tag = request.param("tag");
  if (!repository.empty()) {
    import.name = TRY(registry::Reference::Parse(Cat(repository, tag.empty() ? "" : ":", tag)));
    if (import.name->digest)
      return Fail(Errc::kInvalid, "cannot import digest reference");
  }
  return import;
}

constexpr Route kRoutes[] = {
    {"GET", "/images/get", SaveImages, false, Access::kAdmin},
    {"GET", "/images/{name}/get", SaveImage, false, Access::kAdmin},
    {"POST", "/images/load", LoadImages, true},
};

}  // namespace

void ImportImages(const Services& services, Call call) {
  auto import = ReadImport(call.request());
  if (!import)
    return ReplyError(*call.exchange, import.error());
  auto exchange = call.exchange;
  auto pipe = std::make_shared<UploadPipe>(services.loop, exchange);
  pipe->Begin();
  services.archives->Run([services, pipe = std::move(pipe), exchange = std::move(exchange),
                          import = std::move(*import)]() mutable {
    auto written = std::make_shared<Result<WrittenImage>>(
        ImportImage(*services.images, *pipe, import, pipe->cancel()));
    services.loop->Post(
        [services, pipe = std::move(pipe), exchange = std::move(exchange), written] {
          if (!*written)
            return ReplyError(*exchange, written->error());
          std::string id = (*written)->id.string();
          services.events->Publish({"image", "import", id, {{"name", id}}});
          exchange->Reply(200, {{"Content-Type", "application/json"}},
                          Cat(JsonWriter().Object().Field("status", id).End().text(), "\r\n"));
        });
  });
}

std::span<const Route> ArchiveRoutes() {
  return kRoutes;
}

}  // namespace wherry::engine::api
