// RUN: a container of its own from the image so far, whose output is passed on while it runs and
// whose changes become the next layer. Worker; the containers themselves belong to the loop.
#pragma once

#include <atomic>
#include <string>

#include "core/base/loop.h"
#include "core/base/result.h"
#include "engine/builder/build_output.h"
#include "engine/commit.h"
#include "engine/containers.h"

namespace wherry::engine {

struct RunEnvironment {
  Loop* loop;
  Containers* containers;
  const std::atomic<bool>* ended;  // the daemon's
  CancelFlag cancel;               // the client's
};

class RunStep {
 public:
  RunStep(const RunEnvironment& environment, std::string name)
      : env_(environment), name_(std::move(name)) {}
  // Removes the container, whatever it does.
  ~RunStep();
  RunStep(const RunStep&) = delete;
  RunStep& operator=(const RunStep&) = delete;

  // `body`: JSON of POST /containers/create. Returns its ID.
  Result<std::string> Create(const std::string& body);
  // The exit code; kCancelled when the client has gone.
  Result<int> Run(BuildOutput& output);
  // After Run.
  ChangedContainer Changes() const { return ChangesOf(*container_); }

 private:
  class Output;
  Result<> Start(const std::shared_ptr<Output>& stream);

  RunEnvironment env_;
  std::string name_;
  ContainerPtr container_;
};

}  // namespace wherry::engine
