// sd_notify(3) between a container and the service manager that has started the runtime, whose
// NOTIFY_SOCKET is in the runtime's environment: as with runc, the container gets a socket of its
// own, /run/notify/notify.sock, and of what it says there only that it is ready is passed on.
#pragma once

#include <sys/types.h>

#include "core/base/fd.h"
#include "core/base/result.h"
#include "core/oci/runtime_spec.h"
#include "core/oci_runtime/state.h"
#include "core/sys/process.h"

namespace wherry::oci_runtime {

// Gives the container a directory for the socket, and its program NOTIFY_SOCKET. Nothing without a
// service manager, and with a NOTIFY_SOCKET in the configuration, which somebody else sees to.
Result<> AddNotifySocket(StateDir& dir, oci::RuntimeSpec& spec);

class NotifyListener {
 public:
  // Before the program runs. An empty one without a service manager, and for a container that has
  // no directory for the socket. `main_pid`: who is the service from then on.
  static Result<NotifyListener> Listen(const StateDir& dir, pid_t main_pid);

  // The socket, to be watched; -1 for an empty one, and when the container is ready.
  int fd() const { return socket_.get(); }
  // Takes a message. When it says READY=1, the service manager is told, whose error this is.
  Result<> Receive();
  // Until the container is ready and the service manager has taken note of it, or until the
  // container has ended.
  Result<> Await(const sys::PidFd& init);

 private:
  Result<> Tell();
  Result<> Barrier();

  UniqueFd socket_;
  UniqueFd manager_;
  pid_t main_pid_ = -1;
};

}  // namespace wherry::oci_runtime
