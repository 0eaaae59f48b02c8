// A small pool of worker threads for what may block: disk, network, hashing. Threads start on
// demand, end after being idle for ten seconds, and have small stacks, so an idle daemon has one
// thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace wherry {

class WorkerPool {
 public:
  using Task = std::move_only_function<void()>;

  explicit WorkerPool(size_t max_threads);
  // Waits for running tasks; queued ones that have not started are dropped.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Any thread.
  void Run(Task task);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace wherry
