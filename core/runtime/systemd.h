// systemd as the keeper of cgroups: scopes for containers, by D-Bus (org.freedesktop.systemd1(5)).
// The manager of the machine, or without root that of the caller's user; by its own socket where
// the caller may, else by the message bus. Every call waits for systemd, half a minute at most.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>

#include "core/base/result.h"
#include "core/runtime/systemd_properties.h"
#include "core/sys/dbus.h"

namespace wherry::runtime {

class Systemd {
 public:
  // kUnavailable naming the sockets that were tried.
  static Result<Systemd> Connect();

  // Makes the scope with the process in it, delegated to the caller. kExists when there is one of
  // that name. Gives the cgroup, below the mount.
  Result<std::string> StartScope(const ScopeName& name, const std::string& description, pid_t pid,
                                 std::span<const UnitProperty> properties);
  // What this systemd is too old to know is left out: it does not touch those files then.
  Result<> SetProperties(const std::string& unit, std::span<const UnitProperty> properties);
  // Ends what is left of it and forgets that it failed. One that is not there is none.
  Result<> StopUnit(const std::string& unit);

 private:
  Systemd(sys::DbusConnection connection, bool of_user)
      : connection_(std::move(connection)), of_user_(of_user) {}
  Result<sys::DbusMessage> Call(const char* method, const char* signature,
                                const sys::DbusWriter& body);
  Result<sys::DbusMessage> StartUnit(const ScopeName& name, const sys::DbusWriter& body);
  Result<> AwaitJob(const sys::DbusMessage& reply);
  void ResetFailed(const std::string& unit);

  sys::DbusConnection connection_;
  bool of_user_;
};

}  // namespace wherry::runtime
