// The output of several containers at once: each line with its container's name before it.
#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "cli/compose/containers.h"

namespace wherry::cli {

// Threads that read logs and print whole lines. Signals have to be blocked before the first Add.
class LogFollower {
 public:
  struct Options {
    bool follow = true;
    bool color = false;
    bool prefix = true;
    bool tell_exit = false;  // "web-1 exited with code 0"; goes on when it is started again
    size_t width = 0;        // of the names
    Query query;             // tail, since, until, timestamps
  };
  LogFollower(Client& client, Options options);
  ~LogFollower();  // waits for the threads
  LogFollower(const LogFollower&) = delete;
  LogFollower& operator=(const LogFollower&) = delete;

  // `since`: empty, or where to begin instead of what the options say.
  void Add(const GroupContainer& container, std::string name, std::string since);
  // Nothing is added any more.
  void AllAdded() { Ended(); }
  // Readable when all have ended, after AllAdded.
  int ended_fd() const { return ended_.get(); }
  void Join();

 private:
  struct Source {
    GroupContainer container;
    std::string label;  // "web-1  | ", coloured
    std::string name;
  };
  void Run(const Source& source, std::string since);
  void Ended();
  Result<> Copy(Client& client, const Source& source, bool terminal, const std::string& since);
  bool TellExit(Client& client, const Source& source, std::string& since);
  void Line(int fd, const Source& source, std::string_view line);

  std::string socket_;
  Options options_;
  UniqueFd ended_;
  std::mutex output_;
  std::list<std::thread> threads_;
  std::atomic<size_t> running_ = 1;  // and one more until AllAdded
  size_t colors_ = 0;
};

Result<int> ComposeLogs(const ComposeCall& call);
std::span<const Option> ComposeLogsOptions();

}  // namespace wherry::cli
