// Further processes of running containers (docker exec). Each has a shim of its own, as a container
// has, below c/<id>/exec/<exec id>. Kept in memory only: when the daemon is started again the
// processes go on, but their IDs are forgotten, as with Docker. Loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/loop.h"
#include "core/base/result.h"
#include "core/base/worker_pool.h"
#include "core/shim/launch_spec.h"
#include "engine/container.h"
#include "engine/container_launch.h"
#include "engine/containers.h"
#include "engine/shim_client.h"

namespace wherry::engine {

struct ExecConfig {
  std::vector<std::string> args;  // never empty
  std::vector<std::string> env;   // added to the container's
  std::string user;               // empty: the container's
  std::string working_dir;        // empty: the container's
  std::string detach_keys;        // as received
  bool tty = false;
  bool privileged = false;
  bool with_stdin = false;
  bool with_stdout = false;
  bool with_stderr = false;
  uint16_t rows = 0;  // 0: not known
  uint16_t columns = 0;
};

struct Exec {
  enum class State : uint8_t { kCreated, kStarting, kRunning, kEnded };

  std::string id;  // 64 hexadecimal digits
  ContainerPtr container;
  ExecConfig config;
  std::string directory;
  State state = State::kCreated;
  int pid = 0;                             // while it runs
  sys::PidFd process;                      // the same; signals go here
  int exit_code = 0;                       // when it has ended
  std::chrono::nanoseconds changed_at{0};  // uptime: of its creation or its end
  std::shared_ptr<ShimConnection> watch;
  std::shared_ptr<AttachSession> session;  // while it runs
  std::move_only_function<void(int exit_code)> on_end;
};
using ExecPtr = std::shared_ptr<Exec>;

class Execs {
 public:
  // All outlive this object.
  struct Environment {
    Loop* loop;
    WorkerPool* workers;
    Containers* containers;
  };
  explicit Execs(const Environment& environment) : env_(environment) {}

  // kConflict unless the container runs.
  Result<ExecPtr> Create(const ContainerPtr& container, ExecConfig config);
  // By full ID. kNotFound "No such exec instance: x".
  Result<ExecPtr> Find(std::string_view id) const;

  // Whether Start can be tried: kConflict when the container does not run or the process was
  // started before.
  static Result<> CheckStart(const Exec& exec);
  // After CheckStart. `session` may be null. `done` comes when the program runs or could not be
  // executed; the exit code is then in the exec (126, 127, 125 for all else).
  void Start(const ExecPtr& exec, std::shared_ptr<AttachSession> session, Done<> done);
  // SIGKILL, when it runs.
  static void Kill(const Exec& exec);
  // What comes before the process is there counts for its start. kConflict when it has ended.
  static Result<> Resize(Exec& exec, uint16_t rows, uint16_t columns);

 private:
  void Launch(const ExecPtr& exec, const shim::LaunchSpec& spec,
              std::shared_ptr<AttachSession> session, Done<> done);
  void Started(const ExecPtr& exec, int pid, const std::shared_ptr<AttachSession>& session);
  void Failed(const ExecPtr& exec, int exit_code, const Error& error, Done<> done);
  void Ended(const ExecPtr& exec, int exit_code);
  void ShimGone(const ExecPtr& exec);
  void Publish(const Exec& exec, std::string_view action, int exit_code);
  void Forget();
  void Drop(const Exec& exec);

  Environment env_;
  std::map<std::string, ExecPtr, std::less<>> by_id_;
};

}  // namespace wherry::engine
