// All builds of the daemon: how many run, and that nothing is left of those that ended with a
// daemon before.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/base/worker_pool.h"
#include "engine/builder/build_job.h"
#include "engine/config.h"
#include "engine/containers.h"
#include "engine/events.h"
#include "engine/images.h"

namespace wherry::engine {

class Builds {
 public:
  static constexpr size_t kMaxBuilds = 3;

  // All outlive this object.
  struct Environment {
    const Config* config;
    Loop* loop;
    EventBus* events;
    Images* images;
    Containers* containers;
  };
  explicit Builds(const Environment& environment);
  // Ends what is running.
  ~Builds();
  Builds(const Builds&) = delete;
  Builds& operator=(const Builds&) = delete;

  // Loop thread, once, before any build: begins to remove what an earlier daemon has left.
  void Restore();

  // Loop thread: runs `work`, which calls Build, on a worker of its own. kBusy: too many.
  Result<> Begin(std::move_only_function<void()> work);
  // Worker. `sink` gets the lines of the answer; an error is returned only before the first of
  // them.
  Result<> Build(const BuildRequest& request, ByteSource& context, ByteSink sink,
                 const CancelFlag& cancel);

 private:
  struct Leftover;
  void RemoveContainers(std::shared_ptr<Leftover> leftover);
  void Tell(const BuildRequest& request);

  Environment env_;
  const std::string root_;  // <root>/build
  std::atomic<bool> ended_ = false;
  std::atomic<size_t> running_ = 0;
  WorkerPool workers_;
};

}  // namespace wherry::engine
