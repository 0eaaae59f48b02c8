#include "core/shim/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <vector>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/oci/runtime_spec.h"
#include "core/runtime/container.h"
#include "core/runtime/exec.h"
#include "core/runtime/seccomp.h"
#include "core/shim/launch_spec.h"
#include "core/shim/protocol.h"
#include "core/sys/cgroup.h"
#include "core/sys/mount.h"
#include "core/sys/process.h"

namespace wherry::shim {

namespace {

constexpr size_t kMaxSpec = 1 << 20;
constexpr int kFirstFree =
    kCgroupFd + 1;  // descriptors from here on do not collide with the shim's

struct Pipe {
  UniqueFd read, write;
};

Result<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0)
    return FailSys("pipe2");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// What the shim will hold; numbers of protocol.h.
struct Streams {
  UniqueFd shim_out, shim_err, shim_in;                 // of the shim
  UniqueFd container_out, container_err, container_in;  // of the container
};

Result<Streams> MakeStreams(const LaunchSpec& spec) {
  Streams streams;
  if (spec.tty)
    return streams;  // the pty comes from inside the container
  Pipe out = TRY(MakePipe());
  Pipe err = TRY(MakePipe());
  streams.shim_out = std::move(out.read);
  streams.container_out = std::move(out.write);
  streams.shim_err = std::move(err.read);
  streams.container_err = std::move(err.write);
  if (spec.with_stdin) {
    Pipe in = TRY(MakePipe());
    streams.shim_in = std::move(in.write);
    streams.container_in = std::move(in.read);
  }
  return streams;
}

// Bound through the directory's descriptor: a socket address holds 107 characters, a run directory
// may be longer.
Result<UniqueFd> Listen(int directory) {
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener)
    return FailSys("socket");
  if (unlinkat(directory, kSocketName, 0) != 0 && errno != ENOENT)
    return FailSys("unlinkat", kSocketName);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string path = Cat("/proc/self/fd/", directory, "/", kSocketName);
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  mode_t mask = umask(0177);
  int bound = bind(listener.get(), static_cast<const sockaddr*>(static_cast<const void*>(&address)),
                   sizeof address);
  int error_number = errno;
  umask(mask);
  errno = error_number;
  if (bound != 0)
    return FailSys("bind", kSocketName);
  if (listen(listener.get(), 128) != 0)
    return FailSys("listen", kSocketName);
  return listener;
}

Result<runtime::SeccompFilter> MakeSeccomp(const LaunchSpec& spec, const oci::RuntimeSpec& config) {
  if (spec.seccomp == SeccompMode::kUnconfined)
    return runtime::SeccompFilter();
  runtime::CapabilitySet bounding = 0;
  if (config.process.capabilities)
    bounding = TRY(runtime::ParseCapabilities(config.process.capabilities->bounding));
  if (spec.seccomp == SeccompMode::kDefault)
    return runtime::DefaultSeccomp(bounding);
  if (config.seccomp.empty())
    return runtime::SeccompFilter();
  auto profile = TRY(JsonDocument::Parse(config.seccomp, "linux.seccomp"));
  return runtime::CompileSeccomp(profile.root(), bounding);
}

// A regular file that can be executed: found out now, because after the container has started it is
// too late.
Result<UniqueFd> OpenProgram(const std::string& path) {
  UniqueFd program = TRY(Open(path, O_RDONLY));
  struct stat info{};
  if (fstat(program.get(), &info) != 0)
    return FailSys("fstat", path);
  if (!S_ISREG(info.st_mode) || (info.st_mode & 0111) == 0) {
    return Fail(Errc::kDenied, Cat(path, " is not an executable file"));
  }
  return program;
}

// Everything about one launch; its destructor removes what a failed one made in the bundle.
class Launch {
 public:
  explicit Launch(LaunchSpec spec) : spec_(std::move(spec)) {}
  ~Launch() {
    if (state_dir_ && !done_)
      (void)unlinkat(state_dir_.get(), kSocketName, 0);
  }

  Result<> Prepare();
  // `asker`: the pipe to whoever asked for the container. When nobody reads it any more, nothing is
  // started: the next daemon has perhaps looked already, and would not know of it.
  runtime::StartResult<int> Start(int asker);
  // Only comes back when the shim cannot be executed.
  Error BecomeShim();
  // Ends a container that has started but will have no shim.
  void Abandon();

 private:
  Result<> WriteState(const runtime::Prepared& container);
  runtime::ContainerRequest Request() const;
  runtime::StandardStreams ContainerStreams() const;
  runtime::StartResult<runtime::Prepared> Build();
  std::vector<std::string> ShimArguments() const;

  LaunchSpec spec_;
  oci::RuntimeSpec config_;
  runtime::SeccompFilter seccomp_;
  UniqueFd state_dir_, log_dir_, listener_, shim_, cgroup_;
  UniqueFd image_mount_;  // of the metadata image
  Streams streams_;
  sys::PidFd init_;
  bool done_ = false;
};

Result<> Launch::Prepare() {
  state_dir_ = TRY(OpenDir(spec_.bundle));
  std::string config = TRY(ReadFileAt(state_dir_.get(), "config.json", kMaxSpec));
  config_ = TRY_CTX("config.json", oci::RuntimeSpec::Parse(config));
  seccomp_ = TRY(MakeSeccomp(spec_, config_));
  shim_ = TRY_CTX("the shim", OpenProgram(spec_.shim));
  if (spec_.log.driver == LogDriver::kJsonFile) {
    log_dir_ = TRY_CTX("log", OpenDir(spec_.log_dir));
    // Made here, so that a log that cannot be written is an error of the start.
    TRY_CTX("log",
            OpenAt(log_dir_.get(), kLogName, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0640));
  }
  // Here, because the container's cgroup forbids its init the loop devices this may take.
  if (spec_.overlay && !spec_.overlay->image.empty())
    image_mount_ = TRY_CTX("root file system", sys::MountErofsImage(spec_.overlay->image));
  // The record of a former life would be taken for this one's.
  if (unlinkat(state_dir_.get(), kExitName, 0) != 0 && errno != ENOENT)
    return FailSys("unlinkat", kExitName);
  listener_ = TRY(Listen(state_dir_.get()));
  streams_ = TRY(MakeStreams(spec_));
  return {};
}

runtime::ContainerRequest Launch::Request() const {
  runtime::ContainerRequest request{.id = spec_.id,
                                    .spec = config_,
                                    .bundle = spec_.bundle,
                                    .overlay = {},
                                    .streams = ContainerStreams(),
                                    .cgroup = spec_.cgroup,
                                    .seccomp = {seccomp_.code(), seccomp_.flags()}};
  if (spec_.overlay) {
    const LaunchSpec::Overlay& overlay = *spec_.overlay;
    request.overlay = sys::OverlayOptions{.lower = overlay.lower,
                                          .image = {},
                                          .upper = overlay.upper,
                                          .work = overlay.work,
                                          .is_volatile = overlay.is_volatile};
    if (image_mount_) {
      request.overlay->image =
          sys::MetadataImage{image_mount_.get(), overlay.objects, overlay.data_only};
    }
  }
  return request;
}

runtime::StandardStreams Launch::ContainerStreams() const {
  return {streams_.container_in.get(), streams_.container_out.get(), streams_.container_err.get()};
}

runtime::StartResult<runtime::Prepared> Launch::Build() {
  if (!spec_.join)
    return runtime::Prepare(Request());
  auto init = sys::PidFd::Open(spec_.join->pid);
  auto started = sys::ProcessStartTime(spec_.join->pid);
  if (!init || !started || *started != spec_.join->start_time) {
    return std::unexpected(
        runtime::StartError(Error(Errc::kConflict, "the container is not running")));
  }
  runtime::ExecRequest request{.container = spec_.id,
                               .process = config_.process,
                               .namespaces = config_.namespaces,
                               .init = *init,
                               .streams = ContainerStreams(),
                               .cgroup = spec_.cgroup,
                               .seccomp = {seccomp_.code(), seccomp_.flags()}};
  return runtime::PrepareExec(request);
}

Result<> Launch::WriteState(const runtime::Prepared& container) {
  JsonWriter json;
  json.Object().Field("pid", container.pid()).Field("start_time", container.start_time());
  json.Field("cgroup", spec_.cgroup).End();
  return ReplaceFileAt(state_dir_.get(), "state", Cat(json.text(), "\n"), 0600,
                       Durability::kVolatile);
}

// Whether the other end of a pipe is closed.
bool HasNoReader(int pipe) {
  pollfd state{pipe, 0, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

runtime::StartResult<int> Launch::Start(int asker) {
  auto setup_error = [](Error error) {
    return std::unexpected(runtime::StartError(std::move(error)));
  };
  auto container = Build();
  if (!container)
    return std::unexpected(std::move(container).error());
  if (container->cgroup() != nullptr)
    cgroup_.Reset(fcntl(container->cgroup()->fd(), F_DUPFD_CLOEXEC, kFirstFree));
  if (spec_.tty) {
    streams_.shim_out = container->TakeConsole();
    winsize size{spec_.rows, spec_.columns, 0, 0};
    if (spec_.rows != 0)
      (void)ioctl(streams_.shim_out.get(), TIOCSWINSZ, &size);  // a wrong size is no failure
  }
  if (auto written = WriteState(*container); !written)
    return setup_error(std::move(written).error());
  for (const std::string& path : spec_.remove_when_ready) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT)
      return setup_error(Error::Sys(errno, "unlink", path));
  }
  int pid = container->pid();
  auto started = HasNoReader(asker) ? setup_error(Error(Errc::kCancelled, "the daemon has gone"))
                                    : container->Start();
  if (!started) {
    (void)unlinkat(state_dir_.get(), "state", 0);
    return std::unexpected(std::move(started).error());
  }
  init_ = container->TakeProcess();
  done_ = true;
  return pid;
}

std::vector<std::string> Launch::ShimArguments() const {
  bool log = spec_.log.driver == LogDriver::kJsonFile;
  return {"wherry-shim",
          spec_.id,
          Cat(init_.pid()),
          Cat("tty=", spec_.tty ? 1 : 0),
          Cat("log=", log ? "json-file" : "none"),
          Cat("log-size=", spec_.log.max_size),
          Cat("log-files=", spec_.log.max_files),
          Cat("stdin-once=", spec_.stdin_once ? 1 : 0)};
}

// Puts each descriptor at its number: first all out of the way, then down.
Error Launch::BecomeShim() {
  struct Place {
    UniqueFd* fd;
    int number;
  };
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  UniqueFd process(fcntl(init_.fd(), F_DUPFD_CLOEXEC, kFirstFree));
  Place places[] = {{&listener_, kListenFd},
                    {&state_dir_, kStateDirFd},
                    {&log_dir_, kLogDirFd},
                    {&streams_.shim_out, kStdoutFd},
                    {&streams_.shim_err, kStderrFd},
                    {&streams_.shim_in, kStdinFd},
                    {&process, kPidFd},
                    {&cgroup_, kCgroupFd}};
  for (Place& place : places) {
    if (*place.fd)
      place.fd->Reset(fcntl(place.fd->get(), F_DUPFD_CLOEXEC, kFirstFree));
  }
  UniqueFd program(fcntl(shim_.get(), F_DUPFD_CLOEXEC, kFirstFree));
  std::vector<std::string> arguments = ShimArguments();
  std::vector<char*> argv;
  for (std::string& argument : arguments)
    argv.push_back(argument.data());
  argv.push_back(nullptr);
  for (int number = kListenFd; number <= kCgroupFd; ++number)
    close(number);
  for (const Place& place : places) {
    if (*place.fd)
      (void)dup2(place.fd->get(), place.number);
  }
  (void)dup2(null.get(), STDIN_FILENO);
  (void)dup2(null.get(), STDOUT_FILENO);
  // Holds no directory busy.
  (void)!chdir("/");
  char* environment[] = {nullptr};
  fexecve(program.get(), argv.data(), environment);
  return Error::Sys(errno, "execve", spec_.shim);
}

void Launch::Abandon() {
  (void)init_.Signal(SIGKILL);
  (void)init_.Wait();
  bool own_cgroup = !spec_.join && !spec_.cgroup.empty();
  if (auto host = sys::FindCgroupHost(); host && own_cgroup) {
    if (auto cgroup = runtime::Cgroup::Open(*host, spec_.cgroup))
      (void)cgroup->Remove();
  }
  for (const char* name : {"state", kSocketName})
    (void)unlink(Cat(spec_.bundle, "/", name).c_str());
}

void Answer(int fd, const LaunchResult& result) {
  (void)WriteAll(fd, result.ToLine(), "launch result");
}

int Refuse(int fd, int exit_code, const Error& error) {
  Answer(fd, {0, exit_code, error.message()});
  return exit_code;
}

}  // namespace

int LauncherMain() {
  // Moved away from the numbers the shim needs; both are close-on-exec from here on.
  UniqueFd input(fcntl(kLaunchSpecFd, F_DUPFD_CLOEXEC, kFirstFree));
  UniqueFd output(fcntl(kLaunchResultFd, F_DUPFD_CLOEXEC, kFirstFree));
  close(kLaunchSpecFd);
  close(kLaunchResultFd);
  if (!input || !output)
    return runtime::StartError::kSetup;
  signal(SIGPIPE, SIG_IGN);
  auto text = ReadAll(input.get(), kMaxSpec, "launch specification");
  if (!text)
    return Refuse(output.get(), runtime::StartError::kSetup, text.error());
  auto spec = LaunchSpec::Parse(*text);
  if (!spec)
    return Refuse(output.get(), runtime::StartError::kSetup, spec.error());
  Launch launch(std::move(*spec));
  if (auto prepared = launch.Prepare(); !prepared) {
    return Refuse(output.get(), runtime::StartError::kSetup, prepared.error());
  }
  auto pid = launch.Start(output.get());
  if (!pid)
    return Refuse(output.get(), pid.error().exit_code, pid.error().error);
  Answer(output.get(), {*pid, 0, {}});
  Error error = launch.BecomeShim();
  launch.Abandon();
  (void)WriteAll(STDERR_FILENO, Cat("wherry-launch: ", error.message(), "\n"), "standard error");
  return runtime::StartError::kSetup;
}

}  // namespace wherry::shim
