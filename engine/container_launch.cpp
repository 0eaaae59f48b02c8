#include "engine/container_launch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/runtime/cgroup.h"
#include "core/sys/cgroup.h"
#include "core/sys/spawn.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxAnswer = 64 << 10;

// Reaps the child when it ends; it becomes the shim and may live for as long as the container does.
class Reaper : public std::enable_shared_from_this<Reaper> {
 public:
  Reaper(Loop* loop, sys::PidFd process) : loop_(loop), process_(std::move(process)) {}

  Result<> Begin() {
    return loop_->Add(process_.fd(), EPOLLIN, [self = shared_from_this()](uint32_t) {
      auto status = self->process_.TryWait();
      if (status && !*status)
        return;
      auto keep = self;  // removing the callback destroys its captures
      keep->loop_->Remove(keep->process_.fd());
    });
  }

 private:
  Loop* loop_;
  sys::PidFd process_;
};

// The launcher's answer, read as it comes.
class Answer : public std::enable_shared_from_this<Answer> {
 public:
  Answer(Loop* loop, UniqueFd pipe, std::move_only_function<void(LaunchOutcome)> done)
      : loop_(loop), pipe_(std::move(pipe)), done_(std::move(done)) {}

  Result<> Begin() {
    return loop_->Add(pipe_.get(), EPOLLIN, [self = shared_from_this()](uint32_t) {
      auto keep = self;
      keep->Read();
    });
  }

 private:
  void Read() {
    char buffer[4096];
    ssize_t count = read(pipe_.get(), buffer, sizeof buffer);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
      return;
    if (count > 0)
      text_.append(buffer, static_cast<size_t>(count));
    bool complete = count <= 0 || text_.ends_with('\n') || text_.size() > kMaxAnswer;
    if (!complete)
      return;
    loop_->Remove(pipe_.get());
    pipe_.Reset();
    auto result = shim::LaunchResult::Parse(text_);
    LaunchOutcome outcome;
    if (result) {
      outcome = {result->pid, result->exit_code, std::move(result->message)};
    } else {
      outcome = {0, 125, Cat("the container's launcher failed: ", result.error().message())};
    }
    done_(std::move(outcome));
  }

  Loop* loop_;
  UniqueFd pipe_;
  std::string text_;
  std::move_only_function<void(LaunchOutcome)> done_;
};

Result<UniqueFd> SpecFile(const shim::LaunchSpec& spec) {
  UniqueFd file(memfd_create("wherry-launch", MFD_CLOEXEC));
  if (!file)
    return FailSys("memfd_create");
  TRY(WriteAll(file.get(), spec.ToJson(), "launch specification"));
  if (lseek(file.get(), 0, SEEK_SET) != 0)
    return FailSys("lseek");
  return file;
}

}  // namespace

shim::SeccompMode SeccompModeOf(const HostOptions& options) {
  return options.seccomp == SeccompChoice::kUnconfined ? shim::SeccompMode::kUnconfined
                                                       : shim::SeccompMode::kDefault;
}

Result<> Launcher::Launch(const shim::LaunchSpec& spec,
                          std::move_only_function<void(LaunchOutcome)> done) {
  if (!program_)
    program_ = TRY(sys::ProtectedSelfExecutable());
  UniqueFd spec_file = TRY(SpecFile(spec));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return FailSys("pipe2");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  if (fcntl(read_end.get(), F_SETFL, O_NONBLOCK) != 0)
    return FailSys("fcntl");

  auto host = TRY(sys::FindCgroupHost());
  UniqueFd cgroup = TRY_CTX("the shim's cgroup", runtime::MakeLeafCgroup(host, cgroup_));
  sys::SpawnOptions options;
  options.cgroup_fd = cgroup.get();
  options.program_fd = program_.get();
  options.argv = {"wherry-launch"};
  options.fds = {{STDERR_FILENO, STDERR_FILENO},
                 {spec_file.get(), shim::kLaunchSpecFd},
                 {write_end.get(), shim::kLaunchResultFd}};
  auto child = TRY_CTX("start the container's launcher", sys::Spawn(options));
  // Never killed by us: containers outlive the daemon.
  auto reaper = std::make_shared<Reaper>(loop_, child.Release());
  auto answer = std::make_shared<Answer>(loop_, std::move(read_end), std::move(done));
  TRY(reaper->Begin());
  return answer->Begin();
}

}  // namespace wherry::engine
