#include "engine/container_status.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/shim/protocol.h"

namespace wherry::engine {

namespace {

constexpr size_t kMaxFile = 64 << 10;
constexpr char kStatusName[] = "status";
constexpr int64_t kNanosPerSecond = 1'000'000'000;

}  // namespace

Result<ExitRecord> ExitRecord::Parse(std::string_view json) {
  auto document = TRY(JsonDocument::Parse(json, "exit record"));
  if (!document["code"].IsNumber())
    return Fail(Errc::kCorrupt, "exit record has no code");
  ExitRecord record;
  record.code = static_cast<int>(document["code"].integer() & 0xff);
  record.oom = document["oom"].boolean();
  record.unix_nanos = document["time_ns"].integer();
  return record;
}

std::string RunStatus::ToJson() const {
  JsonWriter json;
  json.Object().Field("version", 1).Field("started", FormatRfc3339NanoOrZero(started_nanos));
  json.Field("finished", FormatRfc3339NanoOrZero(finished_nanos));
  json.Field("code", exit_code)
      .Field("oom", oom_killed)
      .Field("paused", paused)
      .Field("error", error)
      .End();
  return json.Take();
}

Result<RunStatus> RunStatus::Parse(std::string_view json) {
  auto document = TRY(JsonDocument::Parse(json, "container status"));
  RunStatus status;
  status.started_nanos = TRY(ParseRfc3339(document["started"].str()));
  status.finished_nanos = TRY(ParseRfc3339(document["finished"].str()));
  status.exit_code = static_cast<int>(document["code"].integer());
  status.oom_killed = document["oom"].boolean();
  status.paused = document["paused"].boolean();
  status.error = document["error"].str();
  return status;
}

Result<LaunchRecord> ReadLaunchRecord(const std::string& run_directory) {
  auto file = TRY(Open(Cat(run_directory, "/", kLaunchRecordName), O_RDONLY));
  struct stat info{};
  if (fstat(file.get(), &info) != 0)
    return FailSys("fstat", kLaunchRecordName);
  std::string text = TRY(ReadAll(file.get(), kMaxFile, kLaunchRecordName));
  auto document = TRY(JsonDocument::Parse(text, "launch record"));
  LaunchRecord record;
  record.pid = static_cast<int>(document["pid"].integer());
  record.start_time = static_cast<uint64_t>(document["start_time"].integer());
  record.written_nanos = info.st_mtim.tv_sec * kNanosPerSecond + info.st_mtim.tv_nsec;
  if (record.pid <= 0)
    return Fail(Errc::kCorrupt, "launch record has no pid");
  return record;
}

Result<ExitRecord> ReadExitRecord(const std::string& run_directory) {
  return ExitRecord::Parse(TRY(ReadFile(Cat(run_directory, "/", shim::kExitName), kMaxFile)));
}

Result<RunStatus> ReadRunStatus(const std::string& run_directory) {
  return RunStatus::Parse(TRY(ReadFile(Cat(run_directory, "/", kStatusName), kMaxFile)));
}

Result<> WriteRunStatus(const std::string& run_directory, const RunStatus& status) {
  TRY(MakeDirs(run_directory, 0700));
  return ReplaceFile(Cat(run_directory, "/", kStatusName), status.ToJson(), 0600,
                     Durability::kVolatile);
}

}  // namespace wherry::engine
