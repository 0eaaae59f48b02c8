// What is known of a container's last run, kept in memory and below /run (never on flash):
// c/<id>/status is written by the daemon, c/<id>/exit by the shim, c/<id>/state by the launcher.
// Blocking only on tmpfs. No threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/result.h"

namespace wherry::engine {

// {"code":137,"signal":9,"oom":true,"time_ns":1760000000000000000}
struct ExitRecord {
  int code = 0;
  bool oom = false;
  int64_t unix_nanos = 0;

  static Result<ExitRecord> Parse(std::string_view json);
};

// {"version":1,"started":"2026-01-02T03:04:05.000000006Z","finished":"0001-01-01T00:00:00Z","code":0,"oom":false,
//  "paused":false,"error":"..."}
struct RunStatus {
  int pid = 0;  // of init in the daemon's pid namespace; 0: no process. Not in the file.
  int exit_code = 0;
  bool oom_killed = false;
  std::string error;  // why the last start failed, or why nothing is known about the last run
  int64_t started_nanos = 0;  // unix time; 0: never
  int64_t finished_nanos = 0;
  bool paused = false;  // what the file says; in memory the state tells

  std::string ToJson() const;
  static Result<RunStatus> Parse(std::string_view json);
};

// The launcher's {"pid":N,"start_time":N,"cgroup":"/..."}; kNotFound when the container was not
// launched since boot.
inline constexpr char kLaunchRecordName[] = "state";
// Below the run directory: one directory for each further process (engine/execs.h).
inline constexpr char kExecDirectory[] = "exec";
struct LaunchRecord {
  int pid = 0;
  uint64_t start_time = 0;    // clock ticks after boot: names the process together with the pid
  int64_t written_nanos = 0;  // unix time of the file
};
Result<LaunchRecord> ReadLaunchRecord(const std::string& run_directory);

// kNotFound while the container runs.
Result<ExitRecord> ReadExitRecord(const std::string& run_directory);
Result<RunStatus> ReadRunStatus(const std::string& run_directory);
// Creates the directory when needed.
Result<> WriteRunStatus(const std::string& run_directory, const RunStatus& status);

}  // namespace wherry::engine
