// A device for tests of updates: its containers are files, so that they outlive the process, and
// its releases are signed by a key of its own.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "ota/updater.h"

namespace wherry::ota {

struct SignedRelease {
  Release release;
  std::string envelope;
};

inline std::string PinnedName(std::string_view image) {
  return Cat("registry.example/", image, "@", Digest::Of(image).string());
}

// {"v":1,...} with the apps given as JSON.
inline std::string ReleaseText(uint64_t sequence, std::string_view apps,
                               std::string_view extra = R"("trial":{"soak_s":0,"deadline_s":60})") {
  return Cat(R"({"v":1,"name":"gateway","seq":)", sequence, R"(,"issued":1767225600,"apps":[)",
             apps, "]", extra.empty() ? "" : ",", extra, "}");
}

inline std::string AppText(std::string_view name, std::string_view image) {
  return Cat(R"({"name":")", name, R"(","image":")", PinnedName(image), R"("})");
}

inline SignedRelease Signed(const PrivateKey& key, std::string text) {
  Envelope envelope{std::string(kReleaseType), text, {}};
  if (!envelope.Sign(key))
    abort();
  return {Release::Parse(text, "release").value(), envelope.ToJson()};
}

class FileDevice : public Workload {
 public:
  explicit FileDevice(std::string directory) : directory_(std::move(directory)) {
    if (!MakeDirs(directory_, 0700))
      abort();
  }

  Result<> Fetch(const Release& release, const CancelFlag& cancel) override {
    Act("fetch");
    while (unreachable && !*cancel)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (*cancel)
      return Fail(Errc::kCancelled, "cancelled");
    if (!fetch_error.empty())
      return Fail(fetch_code, fetch_error);
    for (const App& app : release.apps)
      Put(Cat("image-", app.image.digest->hex()), "");
    return {};
  }

  Result<> Create(const Release& release) override {
    for (const App& app : release.apps) {
      if (!PathExists(PathOf(app)))
        Put(NameOf(app), "created");
    }
    return {};
  }

  Result<std::vector<UniqueFd>> Hold(const Release& active) override {
    Act("hold");
    if (busy > 0) {
      --busy;
      return Fail(Errc::kConflict, Cat("app ", active.apps.front().name, " holds its lock"));
    }
    std::vector<UniqueFd> held;
    held.push_back(wherry::Open(directory_, O_RDONLY | O_DIRECTORY).value());
    lock = held.front().get();
    return held;
  }

  Result<> Switch(const Release* from, const Release* to, const CancelFlag&) override {
    std::set<std::string> wanted;
    if (to != nullptr) {
      for (const App& app : to->apps)
        wanted.insert(NameOf(app));
    }
    if (from != nullptr) {
      for (const App& app : from->apps) {
        if (!wanted.contains(NameOf(app)) && PathExists(PathOf(app)))
          Put(NameOf(app), "stopped");
      }
    }
    if (to == nullptr)
      return {};
    for (const App& app : to->apps) {
      if (app.name == "unstartable")
        return Fail(Errc::kInvalid, "unstartable: no such program");
      if (!PathExists(Cat(directory_, "/image-", app.image.digest->hex())))
        return Fail(Errc::kNotFound, Cat(app.name, ": its image is not here"));
      Put(NameOf(app), "running");
    }
    return {};
  }

  Health Check(const Release& release) override {
    for (const App& app : release.apps) {
      if (failing.contains(app.name))
        return {Health::State::kFailed, Cat(app.name, " exited with 3")};
      if (starting.contains(app.name))
        return {Health::State::kStarting, Cat(app.name, " is not yet healthy")};
    }
    return {Health::State::kHealthy, ""};
  }

  std::string Evidence(const Release& release) override {
    return Cat(R"({"release":")", release.digest.hex(), R"("})");
  }

  Result<> Remove(const Release& gone, std::span<const Release> kept) override {
    std::set<std::string> wanted;
    for (const Release& release : kept)
      wanted.merge(FilesOf(release));
    for (const std::string& name : FilesOf(gone)) {
      std::string path = Cat(directory_, '/', name);
      if (wanted.contains(name) || !PathExists(path))
        continue;
      Act("remove");
      (void)RemoveTree(path);
    }
    return {};
  }

  // "app:image" of what runs, sorted.
  std::vector<std::string> Running() const {
    std::vector<std::string> names;
    std::vector<std::string> files = ListDir(directory_).value();
    for (const std::string& name : files) {
      if (name.starts_with("app-") &&
          ReadFile(Cat(directory_, '/', name)).value_or("") == "running")
        names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
  }
  static std::vector<std::string> NamesOf(const Release& release) {
    std::vector<std::string> names;
    for (const App& app : release.apps)
      names.push_back(NameOf(app));
    std::ranges::sort(names);
    return names;
  }

  // What goes wrong. Set before the updater starts, or atomic.
  std::atomic<bool> unreachable = false;
  std::atomic<int> busy = 0;   // so often an app holds its lock
  std::atomic<int> lock = -1;  // what Hold gave last
  std::string fetch_error;
  Errc fetch_code = Errc::kInvalid;
  std::set<std::string> failing;
  std::set<std::string> starting;
  std::function<void(std::string_view)> on_action;  // before each

 private:
  static std::string NameOf(const App& app) {
    return Cat("app-", app.name, '-', app.Identity().hex().substr(0, 12));
  }
  static std::set<std::string> FilesOf(const Release& release) {
    std::set<std::string> names;
    for (const App& app : release.apps) {
      names.insert(NameOf(app));
      names.insert(Cat("image-", app.image.digest->hex()));
    }
    return names;
  }
  std::string PathOf(const App& app) const { return Cat(directory_, '/', NameOf(app)); }
  void Act(std::string_view what) {
    if (on_action)
      on_action(what);
  }
  void Put(const std::string& name, std::string_view content) {
    Act(Cat(name, ' ', content));
    if (!ReplaceFile(Cat(directory_, '/', name), content, 0600, Durability::kVolatile))
      abort();
  }

  std::string directory_;
};

}  // namespace wherry::ota
