// Removing containers: see containers.h.
#include <csignal>

#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/container_attach.h"
#include "engine/container_record.h"
#include "engine/containers.h"

namespace wherry::engine {

void Containers::Remove(ContainerPtr container, Force force, TheirVolumes volumes, Done<> done) {
  WhenIdle(container, [this, container, force, volumes, done = std::move(done)]() mutable {
    if (!by_id_.contains(container->id)) {  // removed by an operation before this one
      return done(Fail(Errc::kNotFound, Cat("No such container: ", container->id)));
    }
    bool restarting = container->state == ContainerState::kRestarting;
    if (force == Force::kNo && (restarting || HasProcess(container->state))) {
      bool paused = container->state == ContainerState::kPaused;
      return done(
          Fail(Errc::kConflict,
               Cat("cannot remove container \"", container->name, "\": container is ",
                   paused       ? "paused and must be unpaused first"
                   : restarting ? "restarting: stop the container before removing or force remove"
                                : "running: stop the container before removing or force remove")));
    }
    if (restarting)
      EndRestarting(*container);
    if (!HasProcess(container->state))
      return RemoveIdle(container, volumes, std::move(done));
    container->stop_requested = true;
    KillAfter(container, std::chrono::seconds(0),
              [this, container, volumes, done = std::move(done)](Result<> ended) mutable {
                if (!ended)
                  return done(std::move(ended));
                Remove(container, Force::kYes, volumes, std::move(done));
              });
  });
}

void Containers::RemoveIdle(const ContainerPtr& container, TheirVolumes volumes, Done<> done) {
  auto next = Transition(container->state, ContainerEvent::kRemove);
  if (!next) {
    return done(Fail(Errc::kConflict,
                     Cat("removal of container ", container->name, " is already in progress")));
  }
  container->state = *next;
  ++container->holds;
  OnWorker<void>(
      [directory = container->directory, run_directory = container->run_directory] {
        return RemoveContainerFiles(directory, run_directory);
      },
      [this, container, volumes, done = std::move(done)](Result<> removed) mutable {
        if (!removed) {
          container->state = ContainerState::kDead;
          container->status.error = removed.error().message();
          Release(container);
          return done(std::unexpected(std::move(removed).error().Wrap(
              Cat("cannot remove container \"", container->name, "\""))));
        }
        by_id_.erase(container->id);
        by_name_.erase(container->name);
        container->pin.reset();
        if (volumes == TheirVolumes::kRemove)
          RemoveVolumes(*container);
        auto sessions = std::exchange(container->pending_attaches, {});
        for (const auto& session : sessions)
          session->Close();
        Publish(*container, "destroy");
        constexpr WaitCondition kAll[] = {WaitCondition::kNotRunning, WaitCondition::kNextExit,
                                          WaitCondition::kRemoved};
        NotifyWaiters(*container, kAll);
        Release(container);
        done({});
      });
}

// In the background: the container is gone either way.
void Containers::RemoveVolumes(const Container& container) {
  for (const MountRequest& mount : container.config->host.mounts) {
    if (!mount.anonymous || !UsersOfVolume(mount.volume).empty())
      continue;
    env_.workers->Run([volumes = env_.volumes, name = mount.volume] {
      auto removed = volumes->Remove(name);
      if (!removed && removed.error().code() != Errc::kNotFound)
        LogWarning("volume ", name, " is left: ", removed.error().message());
    });
  }
}

void Containers::AutoRemove(const ContainerPtr& container) {
  Remove(container, Force::kNo, TheirVolumes::kRemove, [container](Result<> removed) {
    if (removed || removed.error().code() == Errc::kNotFound ||
        removed.error().code() == Errc::kConflict)
      return;
    LogError("--rm: ", removed.error().message());
  });
}

void Containers::Attach(const ContainerPtr& container, std::shared_ptr<AttachSession> session) {
  std::weak_ptr<Container> weak = container;
  session->OnDetach([this, weak] {
    if (auto held = weak.lock())
      Publish(*held, "detach");
  });
  session->Begin();
  Publish(*container, "attach");
  if (!HasProcess(container->state)) {
    std::erase_if(container->pending_attaches, [](const auto& other) { return other->closed(); });
    container->pending_attaches.push_back(std::move(session));
    return;
  }
  auto joined = session->Connect(env_.loop, container->run_directory);
  if (!joined)
    session->CloseWith(Cat("cannot attach: ", joined.error().message(), "\n"));
}

}  // namespace wherry::engine
