// What the daemon tells the launcher about one container beyond its OCI configuration: JSON on
// descriptor 3 of `wherry-launch`. Written by the engine, read by the launcher; unknown members are
// ignored, so that either side may be newer. Also the one line with which the launcher answers on
// descriptor 4.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace wherry::shim {

inline constexpr int kLaunchSpecFd = 3;
inline constexpr int kLaunchResultFd = 4;

enum class LogDriver : uint8_t { kJsonFile, kNone };
enum class SeccompMode : uint8_t { kDefault, kSpec, kUnconfined };

// {"id":"<64hex>","bundle":"/run/wherry/c/<id>","log_dir":"/var/lib/wherry/containers/<id>",
//  "log":{"driver":"json-file","max_size":10485760,"max_files":3},"tty":false,"stdin":false,"stdin_once":false,
//  "console":{"rows":24,"columns":80},
//  "overlay":{"lower":["/abs/top"],"upper":"/abs","work":"/abs","volatile":false},
//    or, in the place of "lower": "image":"/abs/file","objects":["/abs"],"data_only":true
//  "cgroup":"/wherry/c/<id>","shim":"/usr/bin/wherry-shim","seccomp":"default"}
// "remove_when_ready": files that go when all of the container is there but its program has not
// begun. With "join":{"pid":1234,"start_time":5678} a further process of a running container
// (exec): `bundle` is a directory of its own, whose configuration names the container's namespaces.
struct LaunchSpec {
  struct Log {
    LogDriver driver = LogDriver::kJsonFile;
    uint64_t max_size = 0;   // bytes; 0: never rotated
    uint32_t max_files = 1;  // the live one included
  };
  struct Overlay {
    std::vector<std::string> lower;    // topmost first; none with an image
    std::string image;                 // EROFS with the metadata of all files
    std::vector<std::string> objects;  // what the image's redirects begin at
    bool data_only = false;            // sys::MetadataImage
    std::string upper;
    std::string work;
    bool is_volatile = false;
  };

  struct Join {
    int pid = 0;              // of the container's init
    uint64_t start_time = 0;  // sys::ProcessStartTime
  };

  std::string id;  // of the container
  std::string bundle;
  std::string log_dir;
  Log log;
  bool tty = false;
  bool with_stdin = false;  // "stdin"
  bool stdin_once = false;
  uint16_t rows = 0;  // 0: not known
  uint16_t columns = 0;
  std::optional<Overlay> overlay;  // absent: root.path of the configuration is used as it is
  std::string cgroup;              // below the cgroup2 mount
  std::string shim;                // absolute path of wherry-shim
  SeccompMode seccomp = SeccompMode::kDefault;
  std::vector<std::string> remove_when_ready;
  std::optional<Join> join;

  std::string ToJson() const;
  // kInvalid naming the member that is missing, of the wrong type or not an absolute path.
  static Result<LaunchSpec> Parse(std::string_view text);
};

// The answer. ok: pid of init, exit_code 0. Otherwise exit_code as docker run gives it: 125 the
// engine failed, 126 the command cannot be executed, 127 it does not exist.
struct LaunchResult {
  int pid = 0;
  int exit_code = 0;
  std::string message;

  // "ok <pid>\n" or "error <exit-code> <message>\n"; line breaks in the message become spaces.
  std::string ToLine() const;
  // kCorrupt for anything else; kUnavailable for an empty text (the launcher ended without an
  // answer).
  static Result<LaunchResult> Parse(std::string_view line);
};

}  // namespace wherry::shim
