#include "ota/release.h"

#include <algorithm>
#include <array>
#include <set>

#include "core/base/text.h"
#include "core/oci/spec_reader.h"

namespace wherry::ota {

namespace {

using oci::Field;

constexpr size_t kMaxApps = 64;
constexpr size_t kMaxName = 63;
constexpr int64_t kMaxSequence = int64_t{1} << 53;
constexpr int64_t kMaxSeconds = 30LL * 24 * 3600;
constexpr int64_t kMaxPort = 65535;
constexpr int64_t kMaxDrain = 3600;

Result<std::string> Name(const Field& field) {
  std::string name = TRY(field.Text());
  auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  if (name.empty() || name.size() > kMaxName || name[0] == '.' || name[0] == '-' ||
      !std::ranges::all_of(name, fits))
    return field.Bad("must be 1 to 63 of a-z 0-9 - _ . and not begin with - or .");
  return name;
}

Result<registry::Reference> PinnedImage(const Field& field) {
  std::string text = TRY(field.Text());
  registry::Reference image = TRY_CTX(field.name(), registry::Reference::Parse(text));
  if (!image.digest)
    return field.Bad("must name the image by digest (name@sha256:...): a tag may change");
  return image;
}

Result<AppCheck> ParseCheck(const Field& field) {
  AppCheck check;
  TRY(field.ExpectKnown(std::array<std::string_view, 4>{"http", "tcp", "path", "command"}));
  if (field["http"] && !field["tcp"] && !field["command"]) {
    check.kind = AppCheck::Kind::kHttp;
    TRY(field["http"].Store(check.port, 1, kMaxPort));
    check.path = TRY(field["path"].Text());
    if (check.path.empty())
      check.path = "/";
    if (check.path[0] != '/' || check.path.find_first_of(" \r\n") != std::string::npos)
      return field["path"].Bad("must be a path of HTTP, without white space");
  } else if (field["tcp"] && !field["http"] && !field["command"] && !field["path"]) {
    check.kind = AppCheck::Kind::kTcp;
    TRY(field["tcp"].Store(check.port, 1, kMaxPort));
  } else if (field["command"] && !field["http"] && !field["tcp"] && !field["path"]) {
    check.kind = AppCheck::Kind::kCommand;
    check.command = TRY(field["command"].Texts());
    if (check.command.empty())
      return field["command"].Bad("is empty");
  } else {
    return field.Bad("must have one of http (with path), tcp, command");
  }
  return check;
}

Result<Strategy> ParseStrategy(const Field& field) {
  std::string text = TRY(field.Text());
  if (text.empty() || text == "stop-start")
    return Strategy::kStopStart;
  if (text == "handover")
    return Strategy::kHandover;
  return field.Bad("must be stop-start or handover");
}

Result<App> ParseApp(const Field& field) {
  TRY(field.ExpectKnown(std::array<std::string_view, 8>{"name", "image", "config", "after",
                                                        "strategy", "drain_s", "checks", "lock"}));
  App app;
  app.name = TRY(Name(field["name"]));
  app.image = TRY(PinnedImage(field["image"]));
  Field config = field["config"];
  TRY(config.ExpectObject());
  app.config = config ? config.value().Dump() : "{}";
  if (config["Image"])
    return config["Image"].Bad("is given by the app's image");
  app.after = TRY(field["after"].Texts());
  app.strategy = TRY(ParseStrategy(field["strategy"]));
  int64_t drain = app.drain.count();
  TRY(field["drain_s"].Store(drain, 0, kMaxDrain));
  app.drain = std::chrono::seconds(drain);
  if (field["drain_s"] && app.strategy != Strategy::kHandover)
    return field["drain_s"].Bad("is for the strategy handover");
  app.lock = TRY(field["lock"].Text());
  if (field["lock"] && !app.lock.starts_with('/'))
    return field["lock"].Bad("must be the absolute path of a file in the container");
  for (const Field& element : TRY(field["checks"].Elements())) {
    AppCheck check = TRY(ParseCheck(element));
    app.checks.push_back(std::move(check));
  }
  return app;
}

Result<std::vector<Shared>> ParseShared(const Field& field) {
  std::vector<Shared> all;
  std::set<std::string> names;
  for (const Field& element : TRY(field.Elements())) {
    TRY(element.ExpectKnown(std::array<std::string_view, 2>{"name", "config"}));
    Shared shared;
    shared.name = TRY(Name(element["name"]));
    TRY(element["config"].ExpectObject());
    shared.config = element["config"] ? element["config"].value().Dump() : "{}";
    if (!names.insert(shared.name).second)
      return element["name"].Bad("is there twice");
    all.push_back(std::move(shared));
  }
  return all;
}

Result<std::optional<OsImage>> ParseOs(const Field& field) {
  if (!field)
    return std::nullopt;
  TRY(field.ExpectKnown(std::array<std::string_view, 4>{"version", "image", "size", "sha256"}));
  OsImage os;
  os.version = TRY(field["version"].Text());
  if (os.version.empty())
    return field["version"].Bad("is missing");
  os.image = TRY(PinnedImage(field["image"]));
  int64_t size = TRY(field["size"].Number(1, kMaxSequence));
  os.size = static_cast<uint64_t>(size);
  std::string hex = TRY(field["sha256"].Text());
  os.digest = TRY_CTX(field["sha256"].name(), Digest::ParseHex(hex));
  return os;
}

Result<Trial> ParseTrial(const Field& field) {
  TRY(field.ExpectKnown(
      std::array<std::string_view, 4>{"soak_s", "deadline_s", "starts", "restarts"}));
  Trial trial;
  int64_t soak = trial.soak.count();
  int64_t deadline = trial.deadline.count();
  TRY(field["soak_s"].Store(soak, 0, kMaxSeconds));
  TRY(field["deadline_s"].Store(deadline, 1, kMaxSeconds));
  TRY(field["starts"].Store(trial.starts, 1, 100));
  TRY(field["restarts"].Store(trial.restarts, 0, 100));
  if (deadline <= soak)
    return field.Bad("deadline_s must be longer than soak_s, or no release is ever confirmed");
  trial.soak = std::chrono::seconds(soak);
  trial.deadline = std::chrono::seconds(deadline);
  return trial;
}

// Puts each app behind those it comes after, and keeps the order of the document otherwise.
Result<std::vector<App>> InOrder(std::vector<App> apps, const Field& field) {
  std::vector<App> ordered;
  ordered.reserve(apps.size());
  std::set<std::string> known;
  for (const App& app : apps) {
    if (!known.insert(app.name).second)
      return field.Bad(Cat("has the app ", app.name, " twice"));
  }
  for (const App& app : apps) {
    for (const std::string& other : app.after) {
      if (!known.contains(other))
        return field.Bad(Cat("has the app ", app.name, ", which comes after ", other,
                             ", which is not among them"));
    }
  }
  std::set<std::string, std::less<>> placed;
  while (!apps.empty()) {
    auto ready = std::ranges::find_if(apps, [&](const App& app) {
      return std::ranges::all_of(app.after,
                                 [&](const std::string& name) { return placed.contains(name); });
    });
    if (ready == apps.end())
      return field.Bad(Cat("has apps that come after each other, among them ", apps.front().name));
    placed.insert(ready->name);
    ordered.push_back(std::move(*ready));
    apps.erase(ready);
  }
  return ordered;
}

Result<std::vector<App>> ParseApps(const Field& field) {
  std::vector<App> apps;
  for (const Field& element : TRY(field.Elements())) {
    App app = TRY(ParseApp(element));
    apps.push_back(std::move(app));
  }
  if (apps.size() > kMaxApps)
    return field.Bad(Cat("has more than ", kMaxApps, " apps"));
  return InOrder(std::move(apps), field);
}

}  // namespace

Digest App::Identity() const {
  return Digest::Of(Cat(name, '\n', image.digest->hex(), '\n', config));
}

Result<Release> Release::Parse(std::string_view json, std::string_view what) {
  JsonDocument document = TRY(JsonDocument::Parse(json, what));
  TRY(RefuseDuplicateNames(document.root(), what));
  JsonValue value = document.root();
  Field root(value, what);
  if (!value.IsObject())
    return Fail(Errc::kInvalid, Cat(what, " is no release: it is not an object"));
  // A newer release may need what this engine does not know: it is refused, never half understood.
  TRY(root.ExpectKnown(std::array<std::string_view, 11>{"v", "name", "seq", "floor", "issued",
                                                        "apps", "networks", "volumes", "os",
                                                        "trial", "policy"}));
  TRY(root["v"].Number(1, 1));
  Release release;
  release.name = TRY(Name(root["name"]));
  int64_t sequence = TRY(root["seq"].Number(1, kMaxSequence));
  release.sequence = static_cast<uint64_t>(sequence);
  TRY(root["floor"].Store(release.floor, 0, kMaxSequence));
  if (release.floor > release.sequence)
    return root["floor"].Bad("is above seq: the release would forbid itself");
  release.issued = TRY(root["issued"].Number(0, kMaxSequence));
  release.apps = TRY(ParseApps(root["apps"]));
  release.networks = TRY(ParseShared(root["networks"]));
  release.volumes = TRY(ParseShared(root["volumes"]));
  release.os = TRY(ParseOs(root["os"]));
  release.trial = TRY(ParseTrial(root["trial"]));
  release.policy = TRY(Policy::Parse(root["policy"]));
  if (release.apps.empty() && !release.os)
    return Fail(Errc::kInvalid, Cat(what, " has neither apps nor an os"));
  release.digest = Digest::Of(json);
  return release;
}

const App* Release::FindApp(std::string_view app_name) const {
  auto found = std::ranges::find(apps, app_name, &App::name);
  return found == apps.end() ? nullptr : &*found;
}

Result<Release> OpenRelease(std::string_view envelope, std::span<const PublicKey> keys,
                            std::string_view what) {
  if (envelope.size() > kMaxRelease)
    return Fail(Errc::kInvalid, Cat(what, " is larger than a release may be (256 KiB)"));
  Envelope opened = TRY(Envelope::Parse(envelope, what));
  if (opened.payload_type != kReleaseType)
    return Fail(Errc::kInvalid, Cat(what, " is no release but ", opened.payload_type));
  if (opened.SignedBy(keys) == nullptr)
    return Fail(Errc::kDenied, Cat(what, " is signed by no key this device trusts for releases"));
  return Release::Parse(opened.payload, what);
}

}  // namespace wherry::ota
