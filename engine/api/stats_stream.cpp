#include "engine/api/stats_stream.h"

#include "core/base/text.h"
#include "core/base/time.h"
#include "engine/containers.h"

namespace wherry::engine::api {

namespace {

constexpr std::chrono::seconds kPeriod{1};
constexpr size_t kMostPending = 64 << 10;  // a client that does not read misses samples
constexpr uint64_t kNanosPerMicro = 1000;

void WriteCpu(JsonWriter& json, std::string_view key, const StatsSample& sample) {
  const runtime::CgroupStats& stats = sample.cgroup;
  json.Key(key).Object().Key("cpu_usage").Object();
  json.Field("total_usage", stats.cpu_usage_us.value_or(0) * kNanosPerMicro);
  json.Field("usage_in_kernelmode", stats.cpu_system_us.value_or(0) * kNanosPerMicro);
  json.Field("usage_in_usermode", stats.cpu_user_us.value_or(0) * kNanosPerMicro).End();
  json.Field("system_cpu_usage", sample.system_cpu_nanos);
  json.Field("online_cpus", sample.online_cpus).Key("throttling_data").Object();
  json.Field("periods", stats.cpu_periods.value_or(0));
  json.Field("throttled_periods", stats.cpu_throttled_periods.value_or(0));
  json.Field("throttled_time", stats.cpu_throttled_us.value_or(0) * kNanosPerMicro).End().End();
}

void WriteMemory(JsonWriter& json, const StatsSample& sample) {
  const runtime::CgroupStats& stats = sample.cgroup;
  json.Key("memory_stats").Object();
  if (sample.running) {
    json.Field("usage", stats.memory_current.value_or(0)).Key("stats").Object();
    json.Field("inactive_file", stats.memory_inactive_file.value_or(0)).End();
    json.Field("limit", sample.memory_limit);
  }
  json.End();
}

// Sums over all devices, for which Docker has no other place.
void WriteIo(JsonWriter& json, std::string_view key, uint64_t reads, uint64_t writes) {
  json.Key(key).Array();
  for (auto [name, value] : {std::pair("read", reads), std::pair("write", writes)})
    json.Object().Field("major", 0).Field("minor", 0).Field("op", name).Field("value", value).End();
  json.End();
}

void WriteBlockIo(JsonWriter& json, const runtime::CgroupStats& stats) {
  json.Key("blkio_stats").Object();
  WriteIo(json, "io_service_bytes_recursive", stats.io_read_bytes.value_or(0),
          stats.io_write_bytes.value_or(0));
  WriteIo(json, "io_serviced_recursive", stats.io_reads.value_or(0), stats.io_writes.value_or(0));
  for (std::string_view key :
       {"io_queue_recursive", "io_service_time_recursive", "io_wait_time_recursive",
        "io_merged_recursive", "io_time_recursive", "sectors_recursive"})
    json.Key(key).Null();
  json.End();
}

void WriteNetworks(JsonWriter& json, const std::vector<InterfaceCounters>& interfaces) {
  if (interfaces.empty())
    return;
  json.Key("networks").Object();
  for (const InterfaceCounters& one : interfaces) {
    json.Key(one.name).Object();
    json.Field("rx_bytes", one.rx_bytes).Field("rx_packets", one.rx_packets);
    json.Field("rx_errors", one.rx_errors).Field("rx_dropped", one.rx_dropped);
    json.Field("tx_bytes", one.tx_bytes).Field("tx_packets", one.tx_packets);
    json.Field("tx_errors", one.tx_errors).Field("tx_dropped", one.tx_dropped).End();
  }
  json.End();
}

}  // namespace

std::string StatsJson(const Container& container, const StatsSample& now,
                      const StatsSample& before) {
  JsonWriter json;
  json.Object().Field("name", Cat("/", container.name)).Field("id", container.id);
  json.Field("read", FormatRfc3339NanoOrZero(now.unix_nanos));
  json.Field("preread", FormatRfc3339NanoOrZero(before.unix_nanos));
  json.Key("pids_stats").Object();
  if (now.running)
    json.Field("current", now.cgroup.pids_current.value_or(0));
  if (now.cgroup.pids_max.value_or(UINT64_MAX) != UINT64_MAX)
    json.Field("limit", *now.cgroup.pids_max);
  json.End();
  WriteBlockIo(json, now.cgroup);
  json.Field("num_procs", 0).Key("storage_stats").Object().End();
  WriteCpu(json, "cpu_stats", now);
  WriteCpu(json, "precpu_stats", before);
  WriteMemory(json, now);
  WriteNetworks(json, now.interfaces);
  json.End();
  return Cat(json.text(), "\n");
}

void StatsStream::Begin() {
  exchange_->OnClose([self = shared_from_this()] {
    self->gone_ = true;
    self->services_.loop->Cancel(self->timer_);
  });
  if (mode_ == Mode::kFollow)
    exchange_->StartStream(200, {{"Content-Type", "application/json"}});
  Sample();
}

void StatsStream::Sample() {
  if (!HasProcess(container_->state))
    return Arrived(StatsSample());
  bool own = container_->config->host.network_mode != kHostNetwork;
  OnWorker<StatsSample>(
      services_,
      [cgroup = services_.containers->CgroupPath(container_->id),
       pid = own ? container_->status.pid : 0] { return SampleStats(cgroup, pid); },
      [self = shared_from_this()](Result<StatsSample> sample) {
        self->Arrived(std::move(sample));
      });
}

// A container that has ended meanwhile has no figures.
void StatsStream::Arrived(Result<StatsSample> sample) {
  if (gone_)
    return;
  StatsSample now = sample ? std::move(*sample) : StatsSample();
  bool last = mode_ == Mode::kOneShot || (mode_ == Mode::kOnce && (!first_ || !now.running));
  if (last)
    return ReplyJson(*exchange_, 200, StatsJson(*container_, now, before_));
  bool removed =
      container_->state == ContainerState::kRemoving || !services_.containers->Find(container_->id);
  if (mode_ == Mode::kFollow && removed)
    return exchange_->End();
  if (mode_ == Mode::kFollow && exchange_->pending() < kMostPending)
    exchange_->Write(StatsJson(*container_, now, before_));
  before_ = std::move(now);
  first_ = false;
  SampleLater();
}

void StatsStream::SampleLater() {
  timer_ = services_.loop->After(kPeriod, [self = shared_from_this()] { self->Sample(); });
}

}  // namespace wherry::engine::api
