#include "core/sys/spawn.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/sys/cgroup.h"

namespace wherry::sys {
namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe MakePipe() {
  int ends[2] = {-1, -1};
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// What a shell script writes to its standard output.
std::string Output(SpawnOptions options, const std::string& script) {
  Pipe out = MakePipe();
  options.program = "/bin/sh";
  options.argv = {"sh", "-c", script};
  options.fds.push_back({out.write.get(), 1});
  auto child = Spawn(options);
  out.write.Reset();
  if (!child)
    return child.error().message();
  std::string text = *ReadAll(out.read.get(), 65536, "output");
  EXPECT_EQ(child->process().Wait()->code, 0);
  return text;
}

TEST(Spawn, PassesArgumentsAndEnvironment) {
  SpawnOptions options;
  options.env = {"A=one two"};
  EXPECT_EQ(Output(std::move(options), "echo $A $0; env | grep -c -e ^HOME= -e ^PATH=; true"),
            "one two sh\n0\n");
}

TEST(Spawn, MapsDescriptorsWhateverTheirNumbers) {
  Pipe a = MakePipe();
  Pipe b = MakePipe();
  ASSERT_TRUE(WriteAll(a.write.get(), "a", "a"));
  ASSERT_TRUE(WriteAll(b.write.get(), "b", "b"));
  a.write.Reset();
  b.write.Reset();
  SpawnOptions options;
  // Each takes the other's number.
  options.fds = {{a.read.get(), b.read.get()}, {b.read.get(), a.read.get()}};
  EXPECT_EQ(Output(std::move(options), Cat("cat <&", b.read.get(), "; cat <&", a.read.get())),
            "ab");
}

TEST(Spawn, ClosesEverythingElse) {
  int leaked = open("/", O_RDONLY);  // NOLINT(android-cloexec-open)
  EXPECT_EQ(
      Output({}, "readlink /proc/self/fd/0; readlink /proc/self/fd/2; ls /proc/self/fd | wc -l"),
      "/dev/null\n/dev/null\n4\n");  // 0, 1, 2 and the directory ls reads
  close(leaked);
}

TEST(Spawn, StartsASessionWithDefaultSignals) {
  auto old = signal(SIGPIPE, SIG_IGN);
  sigset_t block;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &block, &before);
  std::string text =
      Output({}, "grep -E 'SigBlk|SigIgn' /proc/self/status; cut -d' ' -f1,6 /proc/$$/stat");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  signal(SIGPIPE, old);
  EXPECT_TRUE(text.starts_with("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n")) << text;
  std::string_view last = Trim(text);
  auto numbers = SplitFirst(last.substr(last.rfind('\n') + 1), ' ');
  ASSERT_TRUE(numbers);
  EXPECT_EQ(numbers->head, numbers->tail);
}

TEST(Spawn, ReportsWhatFailed) {
  SpawnOptions options;
  options.program = "/no/such/program";
  options.argv = {"x"};
  auto child = Spawn(options);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().message(), "execve(/no/such/program): No such file or directory");
  options.program = "/bin/sh";
  options.fds = {{9999, 5}};
  EXPECT_EQ(Spawn(options).error().error_number(), EBADF);
}

TEST(Spawn, StartsInACgroup) {
  auto host = FindCgroupHost();
  std::string path = Cat("/wherry-spawn-", getpid());
  if (!host || mkdir((host->mount + path).c_str(), 0755) != 0)
    GTEST_SKIP() << "no cgroup can be made here";
  UniqueFd group = *OpenDir(host->mount + path);
  SpawnOptions options;
  options.cgroup_fd = group.get();
  EXPECT_EQ(Output(std::move(options), "grep ^0:: /proc/self/cgroup"), Cat("0::", path, "\n"));
  EXPECT_TRUE(RemoveCgroup(host->mount + path, std::chrono::seconds(2)));
  SpawnOptions gone;
  gone.cgroup_fd = group.get();
  EXPECT_NE(Output(std::move(gone), "true"), "");
}

TEST(Spawn, WorksFromManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int n = 0; n < 10; ++n)
        EXPECT_EQ(Output({}, "echo hi"), "hi\n");
    });
  }
  for (std::thread& thread : threads)
    thread.join();
}

TEST(Spawn, AProcessOfTheProtectedProgramCannotBeOverwritten) {
  if (geteuid() != 0)
    GTEST_SKIP() << "a read-only mount needs root";
  // A copy, because what runs already is protected by ETXTBSY.
  std::string program = Cat("/tmp/wherry-spawn-", getpid());
  ASSERT_TRUE(ReplaceFile(program, *ReadFile("/bin/sleep", 8 << 20), 0755, Durability::kVolatile));
  auto fd = ProtectedExecutable(program);
  ASSERT_TRUE(fd) << fd.error().message();
  SpawnOptions options;
  options.program_fd = fd->get();
  options.argv = {"sleep", "100"};
  auto child = Spawn(options);
  ASSERT_TRUE(child) << child.error().message();
  UniqueFd reading(open(Cat("/proc/", child->pid(), "/exe").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(reading);
  // The attack comes when the program no longer runs, through a descriptor that was kept.
  child->KillAndReap();
  EXPECT_EQ(open(Cat("/proc/self/fd/", reading.get()).c_str(), O_WRONLY | O_CLOEXEC), -1);
  EXPECT_EQ(errno, EROFS);
  unlink(program.c_str());
}

}  // namespace
}  // namespace wherry::sys
