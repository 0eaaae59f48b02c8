#include "engine/builder/builds.h"

#include <set>

#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/text.h"

namespace wherry::engine {

namespace {

// What is left without a name, which the end of an earlier daemon may have done after it was noted.
void RemoveNoted(Images& images, const Scratch& scratch, const std::vector<Digest>& ids) {
  std::set<Digest> manifests;
  for (const Digest& id : ids) {
    auto image = images.Inspect(id.string());
    if (image && image->repo_tags.empty() && image->repo_digests.empty())
      manifests.insert(image->image->manifest_digest);
  }
  Result<> done;
  if (!manifests.empty()) {
    if (auto pruned = images.Prune(manifests); !pruned)
      done = std::unexpected(std::move(pruned).error());
  }
  if (done)
    done = scratch.Remove();
  if (!done)
    LogWarning("a build that was cut short is left behind: ", done.error().message());
}

}  // namespace

struct Builds::Leftover {
  Scratch scratch;
  Scratch::Noted noted;
};

Builds::Builds(const Environment& environment)
    : env_(environment), root_(Cat(environment.config->root, "/build")), workers_(kMaxBuilds) {}

// The pool waits for them.
Builds::~Builds() {
  ended_ = true;
}

void Builds::Restore() {
  auto names = ListDir(root_);
  if (!names)
    return;  // nothing was ever built here
  for (const std::string& name : *names) {
    Scratch scratch(Cat(root_, "/", name));
    auto noted = scratch.Read();
    if (noted)
      RemoveContainers(std::make_shared<Leftover>(Leftover{scratch, std::move(*noted)}));
  }
}

// One after the other, then the images, which containers keep.
void Builds::RemoveContainers(std::shared_ptr<Leftover> leftover) {
  auto& containers = leftover->noted.containers;
  if (containers.empty()) {
    workers_.Run(
        [this, leftover] { RemoveNoted(*env_.images, leftover->scratch, leftover->noted.images); });
    return;
  }
  std::string name = std::move(containers.back());
  containers.pop_back();
  auto container = env_.containers->Find(name);
  auto next = [this, leftover](const Result<>& removed) {
    if (!removed)
      LogWarning("a container of a build is left behind: ", removed.error().message());
    // When whoever removed it has let go of it.
    env_.loop->Post([this, leftover] { RemoveContainers(leftover); });
  };
  if (!container)
    return next({});
  env_.containers->Remove(*container, Containers::Force::kYes, Containers::TheirVolumes::kRemove,
                          [next](Result<> removed) { next(removed); });
}

Result<> Builds::Begin(std::move_only_function<void()> work) {
  if (running_.load() == kMaxBuilds) {
    return Fail(Errc::kBusy, Cat("more than ", kMaxBuilds, " builds are running; try again later"));
  }
  ++running_;
  workers_.Run([this, work = std::move(work)]() mutable {
    work();
    --running_;
  });
  return {};
}

void Builds::Tell(const BuildRequest& request) {
  for (const registry::Reference& name : request.tags) {
    env_.loop->Post([events = env_.events, familiar = name.Familiar()] {
      events->Publish({"image", "tag", familiar, {{"name", familiar}}});
    });
  }
}

Result<> Builds::Build(const BuildRequest& request, ByteSource& context, ByteSink sink,
                       const CancelFlag& cancel) {
  Scratch scratch = TRY(Scratch::Make(root_));
  BuildOutput output(std::move(sink), request.quiet);
  Result<Digest> built = Digest();
  int code = 0;
  {
    BuildJob job(
        {env_.images, &env_.config->store.limits, {env_.loop, env_.containers, &ended_, cancel}},
        request, std::move(scratch), output);
    TRY(job.TakeContext(context));
    built = job.Run();
    code = job.exit_code();
  }
  if (!built) {
    if (!output.began())
      return std::unexpected(std::move(built).error());
    output.Failed(built.error(), code);
    return {};
  }
  Tell(request);
  std::vector<std::string> names;
  for (const registry::Reference& name : request.tags)
    names.push_back(name.Familiar());
  return output.Built(*built, names);
}

}  // namespace wherry::engine
