#include "core/runtime/systemd.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "core/base/text.h"
#include "core/sys/cgroup.h"
#include "core/sys/user_namespace.h"

namespace wherry::runtime {

namespace {

using sys::DbusConnection;
using sys::DbusMessage;
using sys::DbusReader;
using sys::DbusWriter;

constexpr std::chrono::milliseconds kTimeout{30000};

struct Place {
  std::string socket;
  DbusConnection::Peer peer;
  bool of_user;
};

std::vector<Place> Places() {
  std::vector<Place> places;
  const char* runtime_dir = getenv("XDG_RUNTIME_DIR");
  bool root = geteuid() == 0;
  if (runtime_dir != nullptr && (!root || sys::InUserNamespace())) {
    places.push_back({Cat(runtime_dir, "/systemd/private"), DbusConnection::Peer::kProgram, true});
    places.push_back({Cat(runtime_dir, "/bus"), DbusConnection::Peer::kBus, true});
  }
  if (root) {
    places.push_back({"/run/systemd/private", DbusConnection::Peer::kProgram, false});
    places.push_back({"/run/dbus/system_bus_socket", DbusConnection::Peer::kBus, false});
  }
  return places;
}

// A bus passes only those signals on that somebody asks for.
Result<> AskForSignals(DbusConnection& connection) {
  if (connection.peer() != DbusConnection::Peer::kBus)
    return {};
  DbusWriter body;
  body.Text(
      "type='signal',sender='org.freedesktop.systemd1',"
      "interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
  TRY(connection.Call({.path = "/org/freedesktop/DBus",
                       .interface = "org.freedesktop.DBus",
                       .member = "AddMatch",
                       .destination = "org.freedesktop.DBus",
                       .signature = "s",
                       .body = body.bytes()}));
  return {};
}

void WriteAll(DbusWriter& out, std::span<const UnitProperty> properties) {
  for (const UnitProperty& property : properties)
    property.Write(out);
}

}  // namespace

Result<Systemd> Systemd::Connect() {
  std::string tried;
  for (Place& place : Places()) {
    Result<DbusConnection> connection =
        DbusConnection::Open(place.socket, place.peer, "JobRemoved", kTimeout);
    Result<> asked = connection ? AskForSignals(*connection) : Result<>();
    if (connection && asked)
      return Systemd(std::move(*connection), place.of_user);
    const Error& error = connection ? asked.error() : connection.error();
    Append(tried, tried.empty() ? "" : "; ", error.message());
  }
  if (tried.empty())
    tried = "XDG_RUNTIME_DIR is not set";
  return Fail(Errc::kUnavailable,
              Cat("systemd is not reachable: ", tried,
                  "; where it does not run, use cgroups without it (no --systemd-cgroup; podman: "
                  "--cgroup-manager cgroupfs; dockerd: native.cgroupdriver=cgroupfs)"));
}

Result<DbusMessage> Systemd::Call(const char* method, const char* signature,
                                  const DbusWriter& body) {
  Result<DbusMessage> reply = connection_.Call({.path = "/org/freedesktop/systemd1",
                                                .interface = "org.freedesktop.systemd1.Manager",
                                                .member = method,
                                                .destination = "org.freedesktop.systemd1",
                                                .signature = signature,
                                                .body = body.bytes()});
  if (!reply)
    return std::unexpected(std::move(reply).error().Wrap("systemd"));
  return reply;
}

Result<std::string> Systemd::StartScope(const ScopeName& name, const std::string& description,
                                        pid_t pid, std::span<const UnitProperty> properties) {
  DbusWriter body;
  body.Text(name.unit).Text("fail");
  DbusWriter::Array list = body.Open('(');
  body.Property("Description", "s").Text(description);
  std::string_view usual = of_user_ ? "user.slice" : "system.slice";
  body.Property("Slice", "s").Text(name.slice.empty() ? usual : std::string_view(name.slice));
  body.Property("PIDs", "au");
  DbusWriter::Array pids = body.Open('u');
  body.Number('u', static_cast<uint32_t>(pid));
  body.Close(pids);
  for (const char* wanted :
       {"Delegate", "CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"}) {
    body.Property(wanted, "b").Number('b', 1);
  }
  body.Property("DefaultDependencies", "b").Number('b', 0);
  WriteAll(body, properties);
  body.Close(list);
  body.Close(body.Open('('));  // no other units
  DbusMessage reply = TRY_CTX(name.unit, StartUnit(name, body));
  Result<> ended = AwaitJob(reply);
  if (!ended) {
    ResetFailed(name.unit);
    return std::unexpected(std::move(ended).error().Wrap(name.unit));
  }
  // Told by the kernel, and by nobody else.
  std::string cgroup = TRY(sys::CgroupOf(pid));
  if (!cgroup.ends_with(Cat("/", name.unit)))
    return Fail(Errc::kInternal, Cat("systemd left the container in the cgroup ", cgroup,
                                     " instead of its scope ", name.unit));
  return cgroup;
}

// A scope that has failed keeps its name until it is reset.
Result<DbusMessage> Systemd::StartUnit(const ScopeName& name, const DbusWriter& body) {
  constexpr char kMethod[] = "StartTransientUnit";
  constexpr char kSignature[] = "ssa(sv)a(sa(sv))";
  Result<DbusMessage> reply = Call(kMethod, kSignature, body);
  if (reply || reply.error().code() != Errc::kExists)
    return reply;
  ResetFailed(name.unit);
  return Call(kMethod, kSignature, body);
}

// JobRemoved has the signature uoss: number, job, unit, result.
Result<> Systemd::AwaitJob(const DbusMessage& reply) {
  DbusReader reader(reply.body);
  std::string job(TRY(reader.Text('o')));
  std::string result;
  auto is_end = [&](const DbusMessage& signal) {
    DbusReader body(signal.body);
    if (signal.sender != reply.sender || signal.signature != "uoss" || !body.Number('u'))
      return false;
    Result<std::string_view> path = body.Text('o');
    Result<std::string_view> name = body.Text('s');
    Result<std::string_view> how = body.Text('s');
    if (!path || *path != job || !name || !how)
      return false;
    result = *how;
    return true;
  };
  TRY_CTX("systemd", connection_.AwaitSignal(is_end));
  if (result == "done")
    return {};
  return Fail(Errc::kUnavailable,
              Cat("systemd: its job ended as \"", result, "\"; the journal says more"));
}

// Of no interest when it has not failed.
void Systemd::ResetFailed(const std::string& unit) {
  DbusWriter body;
  body.Text(unit);
  (void)Call("ResetFailedUnit", "s", body);
}

Result<> Systemd::SetProperties(const std::string& unit, std::span<const UnitProperty> properties) {
  // One by one, because one that is not known makes it refuse the others with it.
  for (const UnitProperty& property : properties) {
    DbusWriter body;
    body.Text(unit).Number('b', 1);
    DbusWriter::Array list = body.Open('(');
    property.Write(body);
    body.Close(list);
    Result<DbusMessage> reply = Call("SetUnitProperties", "sba(sv)", body);
    if (!reply && reply.error().code() != Errc::kUnsupported)
      return std::unexpected(std::move(reply).error().Wrap(property.name));
  }
  return {};
}

Result<> Systemd::StopUnit(const std::string& unit) {
  // Else what is left has a minute and a half to obey SIGTERM.
  DbusWriter kill;
  kill.Text(unit).Text("all").Number('i', SIGKILL);
  (void)Call("KillUnit", "ssi", kill);
  DbusWriter body;
  body.Text(unit).Text("replace");
  Result<DbusMessage> reply = Call("StopUnit", "ss", body);
  if (!reply && reply.error().code() != Errc::kNotFound)
    return std::unexpected(std::move(reply).error());
  Result<> ended = reply ? AwaitJob(*reply) : Result<>();
  ResetFailed(unit);
  return ended;
}

}  // namespace wherry::runtime
