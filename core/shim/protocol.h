// The wire and descriptor contract between the daemon, the launcher and wherry-shim. Shared by a
// freestanding musl program: plain C++ with no library types. Additive only: a new daemon meets old
// shims.
//
// The launcher builds the container and becomes the shim by execve with these descriptors open (all
// others closed):
//   0, 1   /dev/null          2  the daemon's standard error
//   3      listening AF_UNIX SOCK_STREAM socket, bound at c/<id>/shim.sock, mode 0600
//   4      directory c/<id> (for the exit record)
//   5      directory of the log file, or closed (log driver "none")
//   6      read end of the container's standard output, or the pty master
//   7      read end of its standard error, or closed (terminal)
//   8      write end of its standard input, or closed (no --interactive; a terminal's goes to 6)
//   9      pidfd of the container's init
//   10     the container's cgroup directory (O_RDONLY), for memory.events and the final clean-up;
//   may
//          be closed
// Arguments: wherry-shim ID PID key=value... with the keys below.
//   tty=0|1            one stream with terminal
//   log=json-file|none
//   log-size=BYTES     rotate at this size; 0 never
//   log-files=N        kept files, the live one included (>= 1)
//   stdin-once=0|1     close the container's input when the first attached client with input goes
// The shim is the parent of init (waitid by pidfd). Exit record: c/<id>/exit, written as exit.tmp
// and renamed:
//   {"code":137,"signal":9,"oom":true,"time_ns":1760000000000000000}\n
// code is 128+signal for a killed init. The record exists before any client is told.
#pragma once

#include <stdint.h>

namespace wherry::shim {

enum Descriptor : int {
  kListenFd = 3,
  kStateDirFd = 4,
  kLogDirFd = 5,
  kStdoutFd = 6,
  kStderrFd = 7,
  kStdinFd = 8,
  kPidFd = 9,
  kCgroupFd = 10,
};

// Name of the log file in kLogDirFd; rotated ones are "log.1" (newest) upward. Docker's json-file
// lines, those over 16 KiB split, the parts but the last without "\n":
//   {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
inline constexpr char kLogName[] = "log";
inline constexpr char kExitName[] = "exit";
inline constexpr char kSocketName[] = "shim.sock";

// Every message in both directions: this header, then `length` bytes. The first four bytes and the
// big-endian length are Docker's stream frame for kinds 0 to 2, so the daemon can pass output
// frames on unchanged.
struct Frame {
  uint8_t kind;
  uint8_t zero[3];
  uint8_t length_be[4];
};
static_assert(sizeof(Frame) == 8);
inline constexpr uint32_t kMaxPayload = 32 * 1024;

enum Kind : uint8_t {
  // client -> shim and shim -> client
  kStdin = 0,   // payload for standard input
  kStdout = 1,  // output (also all output of a terminal)
  kStderr = 2,
  // client -> shim
  kAttach = 16,  // payload: one byte of AttachFlags; output from now on (a client that never sends
                 // it is a watcher)
  kResize = 17,  // payload: u16 rows, u16 columns, big endian
  kCloseStdin = 18,
  kReopenLog = 19,
  kHello = 20,    // payload empty; answered by kState. The first message of a watcher.
  kKillAll = 21,  // SIGKILL every process in the cgroup (cgroup.kill)
  // shim -> client
  kState = 32,  // payload: the JSON {"version":1,"pid":N,"exited":bool} or, after the end, plus the
                // fields of the exit record
  kExit =
      33,  // payload: the exit record; sent to every client after all output; then the shim closes
  kAttached = 34,  // answer to kAttach: output follows from here
};

// Twelve clients are served at once; further connections wait in the backlog for one to go.
enum AttachFlags : uint8_t { kWantStdin = 1, kWantStdout = 2, kWantStderr = 4 };

// The first moments: the daemon connects its attached clients first, each with kAttach, and its
// watcher last, with kHello. Until that first kHello the shim leaves the container's output in the
// pipes (ten seconds at most, in case the daemon died), and does not end either; when it comes, it
// first reads what all other connections have sent. So an attached client sees every byte, even of
// a container that ends at once, and the daemon always gets a kExit.

// After init has ended the shim kills what is left in the cgroup, drains output until end of file
// or two seconds (grandchildren may hold the pipe), writes the exit record, removes the cgroup and
// the socket, sends kExit to all, waits until they have closed or a second has passed, and exits.
// Once a client has kExit, the container can be started again under the same names.
//
// Back-pressure: an attached client that does not read holds the container's output back, log
// included, as with Docker; it loses nothing, and its end, or the end of the container plus two
// seconds, sets the rest free. A client that brings input is read as fast as the container reads.

}  // namespace wherry::shim
