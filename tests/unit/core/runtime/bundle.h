// A throw-away container for tests: a root file system with a static busybox, a configuration as
// Docker's, and a run that collects what the program wrote. Needs root.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "core/runtime/container.h"

namespace wherry::runtime {

struct Ran {
  bool started = false;
  int exit_code = -1;  // of the program, 128 + signal, or of the failure to start
  std::string error;   // why it did not start
  std::string out;
  std::string err;
};

class Bundle {
 public:
  Bundle();
  ~Bundle();
  Bundle(const Bundle&) = delete;
  Bundle& operator=(const Bundle&) = delete;

  // Why containers cannot run here; empty when they can.
  static std::string Unable();

  // Below the root file system; parents are made.
  void WriteFile(const std::string& path, const std::string& content, mode_t mode = 0644);
  void Link(const std::string& target, const std::string& path);  // replaces what is there
  void MakeDir(const std::string& path);
  void Remove(const std::string& path);
  std::string ReadHost(const std::string& path);  // a host file; "" when absent

  // A directory on the host outside the root file system.
  const std::string& outside() const { return outside_; }
  const std::string& dir() const { return dir_; }
  std::string rootfs() const { return dir_ + "/rootfs"; }

  oci::Mount& AddMount(const std::string& destination, const std::string& type,
                       const std::string& source, std::vector<std::string> options);
  void RemoveMount(const std::string& destination);

  // Runs spec.process.args (or the given ones) to the end.
  Ran Run();
  Ran Run(std::vector<std::string> args);
  // sh -c SCRIPT
  Ran Shell(const std::string& script);
  StartResult<Prepared> Prepare(int stdin_fd, int stdout_fd, int stderr_fd);

  oci::RuntimeSpec spec;
  std::optional<sys::OverlayOptions> overlay;
  std::string cgroup;
  bool seccomp = true;
  std::string input;  // for standard input; empty: /dev/null

 private:
  std::string dir_;
  std::string outside_;
};

// Fixture that skips where containers cannot run, and checks that nothing is left behind: children,
// descriptors, mounts.
class ContainerTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

 private:
  size_t open_files_ = 0;
  std::string mounts_;
};

}  // namespace wherry::runtime
