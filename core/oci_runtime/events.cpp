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

namespace wherry::oci_runtime {

namespace {

void WriteNumber(JsonWriter& json, std::string_view key, const std::optional<uint64_t>& value) {
  json.Field(key, value.value_or(0));
}

std::string StatsJson(const std::string& id, const runtime::CgroupStats& stats) {
  constexpr uint64_t kNanos = 1000;
  JsonWriter json;
  json.Object().Field("type", "stats").Field("id", id).Key("data").Object();
  json.Key("cpu").Object().Key("usage").Object();
  json.Field("total", stats.cpu_usage_us.value_or(0) * kNanos);
  json.Field("kernel", stats.cpu_system_us.value_or(0) * kNanos);
  json.Field("user", stats.cpu_user_us.value_or(0) * kNanos).End();
  json.Key("throttling").Object();
  WriteNumber(json, "periods", stats.cpu_periods);
  WriteNumber(json, "throttledPeriods", stats.cpu_throttled_periods);
  json.Field("throttledTime", stats.cpu_throttled_us.value_or(0) * kNanos).End().End();
  json.Key("memory").Object().Key("usage").Object();
  WriteNumber(json, "limit", stats.memory_max);
  WriteNumber(json, "usage", stats.memory_current);
  WriteNumber(json, "max", stats.memory_peak);
  json.Field("failcnt", stats.oom_kills.value_or(0)).End();
  json.Key("raw").Object();
  WriteNumber(json, "inactive_file", stats.memory_inactive_file);
  json.End().End();
  json.Key("pids").Object();
  WriteNumber(json, "current", stats.pids_current);
  json.Field("limit", stats.pids_max.value_or(0) == UINT64_MAX ? 0 : stats.pids_max.value_or(0));
  json.End().Key("blkio").Object().Key("ioServiceBytesRecursive").Array();
  struct Row {
    std::string_view op;
    const std::optional<uint64_t>& value;
  };
  for (const Row& row : {Row{"Read", stats.io_read_bytes}, Row{"Write", stats.io_write_bytes}})
    json.Object().Field("op", row.op).Field("value", row.value.value_or(0)).End();
  json.End().End().End().End();
  return json.Take();
}

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
    TRY(PrintLine(StatsJson(id_, cgroup_.Stats())));
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
    TRY(PrintLine(StatsJson(call.id(), cgroup.Stats())));
  else
    TRY(Follower(call.id(), container, cgroup).Run(interval));
  return 0;
}

}  // namespace wherry::oci_runtime
