#include "core/oci_runtime/launch.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/oci_runtime/command.h"
#include "core/runtime/capabilities.h"
#include "core/sys/pass_fd.h"

namespace wherry::oci_runtime {

namespace {

constexpr int kMostPreserved = 1024;
constexpr int kFirst = 3;

Result<> SendToSocket(std::string_view option, const std::string& path, std::string_view name,
                      int fd) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Fail(Errc::kInvalid, Cat(option, " ", path, " is too long for a socket"));
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const void* generic = &address;
  if (!connection ||
      connect(connection.get(), static_cast<const sockaddr*>(generic), sizeof address) < 0) {
    return FailSys("connect", path);
  }
  return sys::SendFd(connection.get(), name, fd, path);
}

}  // namespace

Result<int> PreservedFds(const Options& options, oci::Process& process) {
  int count = TRY(options.Number("preserve-fds", kMostPreserved));
  const char* activation = getenv("LISTEN_FDS");
  if (activation != nullptr) {
    Result<uint64_t> sockets = ParseUint(activation);
    if (sockets && *sockets > 0 && *sockets <= kMostPreserved) {
      process.env.push_back(Cat("LISTEN_FDS=", *sockets));
      process.env.emplace_back("LISTEN_PID=1");
      if (const char* names = getenv("LISTEN_FDNAMES"))
        process.env.push_back(Cat("LISTEN_FDNAMES=", names));
      count += static_cast<int>(*sockets);
    }
  }
  // One that is not open would become one of ours, and the program would have it.
  for (int fd = kFirst; fd < kFirst + count; ++fd) {
    if (fcntl(fd, F_GETFD) < 0)
      return Fail(Errc::kInvalid, Cat("descriptor ", fd, " is to be preserved and is not open"));
  }
  return count;
}

void AddOwnUser(oci::RuntimeSpec& spec) {
  if (geteuid() != 0 && spec.FindNamespace(oci::NamespaceType::kUser) == nullptr)
    spec.namespaces.push_back({oci::NamespaceType::kUser, ""});
  if (!spec.MakesNamespace(oci::NamespaceType::kUser) || !spec.uid_mappings.empty())
    return;
  spec.uid_mappings = {{0, geteuid(), 1}};
  spec.gid_mappings = {{0, getegid(), 1}};
}

void DropImpossibleAmbient(oci::Process& process) {
  if (!process.capabilities)
    return;
  oci::Capabilities& sets = *process.capabilities;
  auto has = [](const std::vector<std::string>& set, const std::string& name) {
    return std::ranges::find(set, name) != set.end();
  };
  std::erase_if(sets.ambient, [&](const std::string& name) {
    bool is_known = runtime::CapabilityNumber(name).has_value();  // an unknown one stays an error
    return is_known && (!has(sets.inheritable, name) || !has(sets.permitted, name));
  });
}

bool KeepsGroups(const oci::RuntimeSpec& spec) {
  return spec.annotations.contains("run.oci.keep_original_groups");
}

Result<> CheckConsole(const Options& options, const oci::Process& process, Foreground foreground) {
  bool socket = options.Has("console-socket");
  if (process.terminal && !socket && foreground == Foreground::kNo) {
    return Fail(Errc::kInvalid,
                "cannot allocate tty if runtime will detach without setting console socket: use "
                "--console-socket");
  }
  if (socket && !process.terminal) {
    return Fail(Errc::kInvalid,
                "cannot use console socket if runtime will not allocate tty: process.terminal is "
                "false");
  }
  return {};
}

Result<> Announce(const Options& options, const oci::Process& process,
                  runtime::Prepared& prepared) {
  if (process.terminal && options.Has("console-socket")) {
    UniqueFd master = prepared.TakeConsole();
    TRY(SendToSocket("--console-socket", options.Value("console-socket"), "/dev/ptmx",
                     master.get()));
  }
  if (options.Has("pidfd-socket")) {
    sys::PidFd pidfd = TRY(sys::PidFd::Open(prepared.pid()));
    TRY(SendToSocket("--pidfd-socket", options.Value("pidfd-socket"), "pidfd", pidfd.fd()));
  }
  if (!options.Has("pid-file"))
    return {};
  return ReplaceFile(options.Value("pid-file"), Cat(prepared.pid()), 0644, Durability::kVolatile);
}

Result<runtime::SeccompFilter> CompileFilter(const std::string& seccomp,
                                             const oci::Process& process) {
  if (seccomp.empty())
    return runtime::SeccompFilter();
  runtime::CapabilitySet bounding = 0;
  if (process.capabilities)
    bounding = TRY(runtime::ParseCapabilities(process.capabilities->bounding));
  JsonDocument profile = TRY(JsonDocument::Parse(seccomp, "linux.seccomp"));
  return runtime::CompileSeccomp(profile.root(), bounding, runtime::Notify::kAllowed);
}

Result<> SendListener(const oci::SeccompListener& wanted, int pid, const std::string& state_json,
                      int listener) {
  JsonWriter json;
  json.Object().Field("ociVersion", kSpecVersion);
  json.Field("fds", std::vector<std::string>{"seccompFd"}).Field("pid", pid);
  json.Field("metadata", wanted.metadata).Key("state").Raw(state_json).End();
  return SendToSocket("seccomp.listenerPath", wanted.path, json.text(), listener);
}

}  // namespace wherry::oci_runtime
