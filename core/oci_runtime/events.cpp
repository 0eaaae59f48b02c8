// events: counters of a container, once or again and again, and its kills for want of memory.
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/oci_runtime/command.h"
#include "core/oci_runtime/state.h"
#include "core/oci_runtime/stats.h"

namespace wherry::oci_runtime {

namespace {

Result<> PrintLine(const std::string& json) {
  return WriteAll(STDOUT_FILENO, Cat(json, "\n"), "standard output");
}

Result<std::chrono::nanoseconds> Interval(const Options& options) {
  std::string text = options.Has("interval") ? options.Value("interval") : "5s";
  Result<std::chrono::nanoseconds> interval = ParseGoDuration(text);
  if (!interval || *interval < std::chrono::milliseconds(1) || *interval > std::chrono::hours(24)) {
    return Fail(Errc::kInvalid,
                Cat("--interval ", text, " is not a time such as 5s or 500ms, up to 24h"));
  }
  return interval;
}

class Follower {
 public:
  Follower(const std::string& id, const Container& container, const runtime::Cgroup& cgroup)
      : id_(id), container_(container), cgroup_(cgroup) {}

  // Until the container has ended.
  Result<> Run(std::chrono::nanoseconds interval);

 private:
  Result<> Watch();
  Result<> TellKills();

  const std::string& id_;
  const Container& container_;
  const runtime::Cgroup& cgroup_;
  UniqueFd watch_;
  uint64_t kills_ = 0;
};

// Without the memory controller there is nothing to watch.
Result<> Follower::Watch() {
  watch_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch_)
    return FailSys("inotify_init1");
  std::string file = Cat("/proc/self/fd/", cgroup_.fd(), "/memory.events");
  if (inotify_add_watch(watch_.get(), file.c_str(), IN_MODIFY) < 0 && errno != ENOENT)
    return FailSys("inotify_add_watch", "memory.events");
  kills_ = cgroup_.Stats().oom_kills.value_or(0);
  return {};
}

Result<> Follower::TellKills() {
  std::array<char, 4096> changes;
  while (read(watch_.get(), changes.data(), changes.size()) > 0) {
  }
  uint64_t now = cgroup_.Stats().oom_kills.value_or(kills_);
  bool more = now > kills_;
  kills_ = now;
  if (!more)
    return {};
  JsonWriter json;
  json.Object().Field("type", "oom").Field("id", id_).End();
  return PrintLine(json.text());
}

Result<> Follower::Run(std::chrono::nanoseconds interval) {
  TRY(Watch());
  auto next = Uptime() + interval;
  while (true) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Uptime());
    std::array<pollfd, 2> wanted = {pollfd{container_.init.fd(), POLLIN, 0},
                                    pollfd{watch_.get(), POLLIN, 0}};
    int timeout = std::max(0, static_cast<int>(left.count()));
    if (poll(wanted.data(), wanted.size(), timeout) < 0 && errno != EINTR)
      return FailSys("poll");
    if (wanted[1].revents != 0)
      TRY(TellKills());
    if (wanted[0].revents != 0)
      return {};
    if (Uptime() < next)
      continue;
    TRY(PrintLine(StatsJson(id_, cgroup_)));
    next = Uptime() + interval;
  }
}

}  // namespace

Result<int> Events(const Call& call) {
  auto interval = TRY(Interval(call.options));
  Container container = TRY(FindContainer(call.globals.root, call.id(), Locked::kNo));
  if (!container.init)
    return Fail(Errc::kConflict, Cat("container not running: ", call.id()));
  runtime::Cgroup cgroup = TRY(container.OpenCgroup());
  if (call.options.Has("stats"))
    TRY(PrintLine(StatsJson(call.id(), cgroup)));
  else
    TRY(Follower(call.id(), container, cgroup).Run(interval));
  return 0;
}

}  // namespace wherry::oci_runtime
