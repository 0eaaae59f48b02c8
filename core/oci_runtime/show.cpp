// state, list, ps, features: what only shows.
#include <sys/utsname.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/oci_runtime/command.h"
#include "core/oci_runtime/state.h"
#include "core/runtime/capabilities.h"
#include "core/sys/cgroup.h"

namespace wherry::oci_runtime {

namespace {

Result<> Print(std::string_view text) {
  return WriteAll(STDOUT_FILENO, Cat(text, "\n"), "standard output");
}

Result<bool> WantsJson(const Options& options) {
  std::string format = options.Value("format");
  if (format == "json")
    return true;
  if (format.empty() || format == "table")
    return false;
  return Fail(Errc::kInvalid, Cat("--format ", format, " is neither json nor table"));
}

void AppendColumn(std::string& line, std::string_view text, size_t width) {
  line += text;
  line.append(text.size() < width ? width - text.size() : 1, ' ');
}

// The words of a process's command line, made printable.
std::string CommandLine(int pid) {
  Result<std::string> text = ReadFile(Cat("/proc/", pid, "/cmdline"), size_t{1} << 21);
  std::string line = text ? *text : "";
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127)
      c = ' ';
  }
  return std::string(Trim(line));
}

}  // namespace

Result<int> ShowState(const Call& call) {
  Container container = TRY(FindContainer(call.globals.root, call.id(), Locked::kNo));
  TRY(Print(container.StateJson()));
  return 0;
}

Result<int> List(const Call& call) {
  bool json = TRY(WantsJson(call.options));
  std::vector<std::string> ids = TRY(StateDir::Ids(call.globals.root));
  std::string text = json ? "["
                     : call.options.Has("quiet")
                         ? ""
                         : "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n";
  for (const std::string& id : ids) {
    // One that is deleted meanwhile, and what is no container's directory.
    Result<Container> container = FindContainer(call.globals.root, id, Locked::kNo);
    if (!container) {
      if (container.error().code() == Errc::kCorrupt)
        Warn(call.globals, container.error().message());
      continue;
    }
    if (json) {
      Append(text, text.size() > 1 ? "," : "", container->StateJson());
    } else if (call.options.Has("quiet")) {
      Append(text, id, "\n");
    } else {
      constexpr size_t kWidth = 12;
      AppendColumn(text, id, kWidth);
      AppendColumn(text, Cat(container->init ? container->state.pid : 0), kWidth);
      AppendColumn(text, StatusName(container->status), kWidth);
      AppendColumn(text, container->state.bundle, kWidth);
      Append(text, FormatRfc3339Nano(container->state.created), "  ", OwnerName(), "\n");
    }
  }
  if (json)
    text += "]\n";
  TRY(WriteAll(STDOUT_FILENO, text, "standard output"));
  return 0;
}

Result<int> Ps(const Call& call) {
  bool json = TRY(WantsJson(call.options));
  Container container = TRY(FindContainer(call.globals.root, call.id(), Locked::kNo));
  runtime::Cgroup cgroup = TRY(container.OpenCgroup());
  std::vector<int> pids = TRY(sys::CgroupPids(cgroup.fd()));
  JsonWriter array;
  array.Array();
  std::string table = "PID     CMD";
  for (int pid : pids) {
    array.Int(pid);
    table += '\n';
    AppendColumn(table, Cat(pid), 8);
    table += CommandLine(pid);
  }
  array.End();
  TRY(Print(json ? array.text() : table));
  return 0;
}

Result<int> Features(const Call& call) {
  (void)call;
  JsonWriter json;
  json.Object().Field("ociVersionMin", "1.0.0").Field("ociVersionMax", kSpecVersion);
  json.Field("hooks", std::vector<std::string>{"prestart", "createRuntime", "createContainer",
                                               "startContainer", "poststart", "poststop"});
  json.Field(
      "mountOptions",
      std::vector<std::string>{
          "async",  "atime",   "bind",     "copyup",     "dev",    "diratime",   "exec",
          "idmap",  "noatime", "nodev",    "nodiratime", "noexec", "norelatime", "nostrictatime",
          "nosuid", "private", "rbind",    "relatime",   "ridmap", "ro",         "rprivate",
          "rro",    "rshared", "rslave",   "rw",         "shared", "slave",      "strictatime",
          "suid",   "sync",    "tmpcopyup"});
  json.Key("linux").Object();
  json.Field("namespaces", std::vector<std::string>{"cgroup", "ipc", "mount", "network", "pid",
                                                    "time", "user", "uts"});
  json.Field("capabilities", runtime::CapabilityNames(runtime::AllCapabilities()));
  json.Key("cgroup").Object().Field("v1", false).Field("v2", true).Field("systemd", true);
  json.Field("systemdUser", true).Field("rdma", true).End();
  json.Key("seccomp").Object().Field("enabled", true);
  json.Field("actions", std::vector<std::string>{
                            "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL",
                            "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                            "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"});
  json.End();
  json.Key("apparmor").Object().Field("enabled", true).End();
  json.Key("selinux").Object().Field("enabled", true).End();
  json.Key("intelRdt").Object().Field("enabled", false).End();
  json.Key("netDevices").Object().Field("enabled", true).End();
  json.Key("mountExtensions").Object().Key("idmap").Object().Field("enabled", true).End().End();
  json.End();
  json.Key("annotations").Object().Field("dev.wherry.version", WHERRY_VERSION).End().End();
  TRY(Print(json.text()));
  return 0;
}

}  // namespace wherry::oci_runtime
