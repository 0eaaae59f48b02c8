#include "core/oci_runtime/state.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/runtime/systemd_properties.h"
#include "core/sys/cgroup.h"

namespace wherry::oci_runtime {

namespace {

constexpr char kStateName[] = "state.json";
constexpr char kConfigName[] = "config.json";
constexpr char kSocketName[] = "start";
constexpr char kNotifyDir[] = "notify";
constexpr char kNotifySocket[] = "notify/notify.sock";
constexpr size_t kMaxId = 200;
constexpr std::string_view kCgroupParent = "/wherry-runtime/";

constexpr std::string_view kStatusNames[] = {"creating", "created", "running", "paused", "stopped"};

std::unexpected<Error> Absent(const std::string& id) {
  return Fail(Errc::kNotFound, Cat("container \"", id, "\" does not exist"));
}

// By the directory's descriptor: a socket address holds 107 characters, a root may be longer.
sockaddr_un SocketAddress(int dir, std::string_view name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = Cat("/proc/self/fd/", dir, "/", name);
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

// Empty when the process has ended, reaped or not, or its pid is another's now.
sys::PidFd RunningInit(const State& state) {
  if (state.pid <= 0)
    return {};
  Result<sys::PidFd> init = sys::PidFd::Open(state.pid);
  Result<uint64_t> started = sys::ProcessStartTime(state.pid);
  if (!init || !started || *started != state.start_time)
    return {};
  pollfd ended{init->fd(), POLLIN, 0};
  if (poll(&ended, 1, 0) != 0)
    return {};
  return std::move(*init);
}

bool IsFrozen(const Container& container) {
  Result<runtime::Cgroup> cgroup = container.OpenCgroup();
  if (!cgroup)
    return false;
  Result<uint64_t> frozen = sys::ReadCgroupKey(cgroup->fd(), "cgroup.events", "frozen");
  return frozen && *frozen == 1;
}

Status StatusOf(const Container& container) {
  if (container.state.pid == 0)
    return Status::kCreating;
  if (!container.init)
    return Status::kStopped;
  if (container.dir.HasSocket())
    return Status::kCreated;
  return IsFrozen(container) ? Status::kPaused : Status::kRunning;
}

Result<State> ParseState(const std::string& id, std::string_view text) {
  JsonDocument json = TRY(JsonDocument::Parse(text, kStateName));
  State state;
  state.id = id;
  state.oci_version = json["ociVersion"].str();
  state.pid = static_cast<pid_t>(json["pid"].integer());
  state.start_time = TRY(ParseUint(json["start_time"].str()));
  state.created = TRY(ParseInt(json["created_nanos"].str()));
  state.bundle = json["bundle"].str();
  state.rootfs = json["rootfs"].str();
  state.cgroup = json["cgroup"].str();
  state.unit = json["unit"].str();
  state.new_keyring = json["new_keyring"].boolean();
  for (JsonValue annotation : json["annotations"])
    state.annotations[std::string(annotation.key())] = annotation.str();
  return state;
}

// What the specification shows of a state.
void WriteShown(JsonWriter& json, const State& state) {
  json.Field("ociVersion", state.oci_version).Field("id", state.id);
  json.Field("bundle", state.bundle).Field("rootfs", state.rootfs);
  json.Field("created", FormatRfc3339Nano(state.created));
  json.Key("annotations").Object();
  for (const auto& [key, value] : state.annotations)
    json.Field(key, value);
  json.End().Field("owner", OwnerName());
}

}  // namespace

Result<> CheckId(const std::string& id) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
  size_t wrong = id.find_first_not_of(kAllowed);
  if (!id.empty() && id.size() <= kMaxId && id[0] != '.' && wrong == std::string::npos)
    return {};
  std::string what = wrong != std::string::npos ? Cat("invalid character `", id[wrong], "`")
                                                : Cat("it must have 1 to ", kMaxId, " characters");
  return Fail(Errc::kInvalid,
              Cat("invalid container ID \"", id.substr(0, kMaxId), "\": ", what,
                  "; letters, digits and _+-. are allowed, and a dot not in front"));
}

std::string CgroupPath(const std::string& wanted, const std::string& id) {
  if (wanted.empty())
    return Cat(kCgroupParent, id);
  return wanted.starts_with('/') ? wanted : Cat(kCgroupParent, wanted);
}

std::string_view StatusName(Status status) {
  return kStatusNames[static_cast<size_t>(status)];
}

std::string OwnerName() {
  return geteuid() == 0 ? "root" : Cat(geteuid());
}

Result<StateDir> StateDir::Create(const std::string& root, const std::string& id) {
  TRY(MakeDirs(root, 0700));
  UniqueFd top = TRY(OpenDir(root));
  if (mkdirat(top.get(), id.c_str(), 0700) < 0) {
    if (errno == EEXIST)
      return Fail(Errc::kExists, Cat("container with given ID already exists: ", id));
    return FailSys("mkdir", Cat(root, "/", id));
  }
  UniqueFd dir = TRY(OpenAt(top.get(), id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  StateDir made(id, std::move(top), std::move(dir));
  TRY(made.Lock());
  return made;
}

Result<StateDir> StateDir::Open(const std::string& root, const std::string& id) {
  TRY(CheckId(id));
  Result<UniqueFd> top = OpenDir(root);
  if (!top && top.error().code() == Errc::kNotFound)
    return Absent(id);
  if (!top)
    return std::unexpected(std::move(top).error());
  Result<UniqueFd> dir = OpenAt(top->get(), id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir && dir.error().code() == Errc::kNotFound)
    return Absent(id);
  if (!dir)
    return std::unexpected(std::move(dir).error());
  return StateDir(id, std::move(*top), std::move(*dir));
}

Result<std::vector<std::string>> StateDir::Ids(const std::string& root) {
  Result<std::vector<std::string>> names = ListDir(root);
  if (!names && names.error().code() == Errc::kNotFound)
    return std::vector<std::string>();
  if (names)
    std::ranges::sort(*names);
  return names;
}

Result<> StateDir::Lock() {
  while (flock(dir_.get(), LOCK_EX) < 0) {
    if (errno != EINTR)
      return FailSys("flock", id_);
  }
  struct stat info{};
  if (fstat(dir_.get(), &info) < 0)
    return FailSys("fstat", id_);
  if (info.st_nlink == 0)
    return Absent(id_);
  return {};
}

void StateDir::Unlock() {
  (void)flock(dir_.get(), LOCK_UN);
}

Result<> StateDir::Save(const State& state) {
  JsonWriter json;
  json.Object();
  WriteShown(json, state);
  json.Field("pid", state.pid).Field("start_time", Cat(state.start_time));
  json.Field("created_nanos", Cat(state.created)).Field("cgroup", state.cgroup);
  json.Field("unit", state.unit);
  json.Field("new_keyring", state.new_keyring).End();
  return ReplaceFileAt(dir_.get(), kStateName, json.text(), 0600, Durability::kVolatile);
}

Result<State> StateDir::Load() const {
  State state;
  state.id = id_;
  Result<std::string> text = ReadFileAt(dir_.get(), kStateName);
  if (!text && text.error().code() == Errc::kNotFound)
    return state;
  if (!text)
    return std::unexpected(std::move(text).error());
  Result<State> parsed = ParseState(id_, *text);
  if (parsed)
    return parsed;
  return Fail(Errc::kCorrupt, Cat("state.json of container \"", id_, "\" is damaged: ",
                                  parsed.error().message(), "; remove it with delete --force"));
}

State StateDir::Guess(CgroupManager manager) const {
  State state;
  state.id = id_;
  Result<oci::RuntimeSpec> spec = LoadConfig();
  std::string path = spec ? spec->cgroups_path : "";
  Result<runtime::ScopeName> scope = runtime::ParseScopeName(path, id_);
  if (scope && (manager == CgroupManager::kSystemd || !path.empty()))
    state.unit = scope->unit;
  else
    state.cgroup = CgroupPath(path, id_);
  return state;
}

Result<> StateDir::SaveConfig(std::string_view json) {
  return ReplaceFileAt(dir_.get(), kConfigName, json, 0600, Durability::kVolatile);
}

Result<oci::RuntimeSpec> StateDir::LoadConfig() const {
  std::string text = TRY(ReadFileAt(dir_.get(), kConfigName, size_t{16} << 20));
  return oci::RuntimeSpec::Parse(text);
}

Result<> StateDir::Remove() {
  return RemoveTreeAt(root_.get(), id_);
}

Result<UniqueFd> StateDir::Listen() {
  UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address = SocketAddress(dir_.get(), kSocketName);
  if (!listener || bind(listener.get(), Generic(address), sizeof address) < 0 ||
      listen(listener.get(), 1) < 0) {
    return FailSys("start socket", id_);
  }
  return listener;
}

Result<UniqueFd> StateDir::Connect() {
  UniqueFd connection(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address = SocketAddress(dir_.get(), kSocketName);
  if (!connection || connect(connection.get(), Generic(address), sizeof address) < 0)
    return FailSys("start socket", id_);
  if (unlinkat(dir_.get(), kSocketName, 0) < 0)
    return FailSys("unlink", kSocketName);
  return connection;
}

bool StateDir::HasSocket() const {
  return faccessat(dir_.get(), kSocketName, F_OK, 0) == 0;
}

Result<std::string> StateDir::MakeNotifyDir() {
  if (mkdirat(dir_.get(), kNotifyDir, 0755) < 0 || fchmodat(dir_.get(), kNotifyDir, 0755, 0) < 0)
    return FailSys("mkdir", kNotifyDir);
  std::array<char, PATH_MAX> path;
  if (realpath(Cat("/proc/self/fd/", dir_.get(), "/", kNotifyDir).c_str(), path.data()) == nullptr)
    return FailSys("realpath", kNotifyDir);
  return std::string(path.data());
}

bool StateDir::HasNotifyDir() const {
  return faccessat(dir_.get(), kNotifyDir, F_OK, 0) == 0;
}

Result<UniqueFd> StateDir::ListenForNotify() const {
  UniqueFd socket_fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = SocketAddress(dir_.get(), kNotifySocket);
  (void)unlinkat(dir_.get(), kNotifySocket, 0);  // of a start that failed
  if (!socket_fd || bind(socket_fd.get(), Generic(address), sizeof address) < 0 ||
      fchmodat(dir_.get(), kNotifySocket, 0777, 0) < 0) {
    return FailSys("notify socket", id_);
  }
  return socket_fd;
}

Result<runtime::Cgroup> OpenCgroup(const State& state) {
  if (state.cgroup.empty())
    return Fail(Errc::kNotFound, Cat("container ", state.id, " has no cgroup"));
  sys::CgroupHost host = TRY(sys::FindCgroupHost());
  return runtime::Cgroup::Open(host, state.cgroup);
}

std::string Container::StateJson() const {
  return oci_runtime::StateJson(state, status);
}

std::string StateJson(const State& state, Status status) {
  JsonWriter json;
  json.Object();
  WriteShown(json, state);
  json.Field("status", StatusName(status));
  json.Field("pid", status == Status::kStopped ? 0 : state.pid).End();
  return json.Take();
}

Result<Container> FindContainer(const std::string& root, const std::string& id, Locked locked) {
  StateDir dir = TRY(StateDir::Open(root, id));
  if (locked == Locked::kYes)
    TRY(dir.Lock());
  State state = TRY(dir.Load());
  Container container{std::move(dir), std::move(state), Status::kStopped, {}};
  container.init = RunningInit(container.state);
  container.status = StatusOf(container);
  return container;
}

Result<Container> FindDamaged(const Globals& globals, const std::string& id) {
  StateDir dir = TRY(StateDir::Open(globals.root, id));
  TRY(dir.Lock());
  State state = dir.Guess(globals.cgroup_manager);
  return Container{std::move(dir), std::move(state), Status::kStopped, {}};
}

Result<Container> FindRunning(const std::string& root, const std::string& id) {
  Container container = TRY(FindContainer(root, id, Locked::kYes));
  if (!container.init)
    return Fail(Errc::kConflict,
                Cat("container not running: ", id, " is ", StatusName(container.status)));
  return container;
}

}  // namespace wherry::oci_runtime
