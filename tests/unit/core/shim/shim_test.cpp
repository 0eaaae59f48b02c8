// wherry-shim as a whole: see shim_harness.h. Here: log, exit record, input, terminal, clean-up.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "tests/unit/core/shim/shim_harness.h"

namespace wherry::shim {
namespace {

int Print(int fd, std::string_view text) {
  return WriteAll(fd, text, "out") ? 0 : 1;
}

JsonDocument Json(const std::string& text) {
  auto json = JsonDocument::Parse(text, "record");
  EXPECT_TRUE(json) << text;
  return json ? *std::move(json) : *JsonDocument::Parse("{}", "");
}

TEST(Shim, LogsLinesOfBothStreams) {
  int64_t before = UnixNanosNow();
  ShimUnderTest shim({}, [] {
    return Print(1, "one\ntwo\n") + Print(2, "problem\n") + Print(1, "\nlast without end");
  });
  auto record = Json(shim.Finish());
  EXPECT_EQ(record["code"].integer(-1), 0);
  EXPECT_EQ(record["signal"].integer(-1), 0);
  EXPECT_FALSE(record["oom"].boolean(true));
  EXPECT_GE(record["time_ns"].integer() / 1000000, before / 1000000);
  auto log = ReadLog(shim.log_dir() + "/log");
  ASSERT_EQ(log.size(), 5u);
  EXPECT_EQ(JoinLog(log, "stdout"), "one\ntwo\n\nlast without end");
  EXPECT_EQ(JoinLog(log, "stderr"), "problem\n");
  for (const LogEntry& entry : log) {
    EXPECT_EQ(entry.time.size(), 30u);
    auto time = ParseRfc3339(entry.time);
    ASSERT_TRUE(time) << entry.time;
    EXPECT_GE(*time, before);
    EXPECT_LE(*time, UnixNanosNow());
  }
}

TEST(Shim, EscapesAsDockerDoes) {
  ShimUnderTest shim({}, [] {
    return Print(
        1, std::string_view(
               "q\" b\\ t\t r\r nul\0 <a&b> \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 bad\xff\xc3( "
               "\xed\xa0\x80 \xe2\x80\xa8\x7f\x1b[0m\n",
               69));
  });
  shim.Finish();
  auto text = ReadFile(shim.log_dir() + "/log");
  ASSERT_TRUE(text);
  std::string expected =
      "{\"log\":\"q\\\" b\\\\ t\\u0009 r\\r nul\\u0000 \\u003ca\\u0026b\\u003e \xc3\xa9 "
      "\xe2\x82\xac "
      "\xf0\x9f\x98\x80 bad\\ufffd\\ufffd( \\ufffd\\ufffd\\ufffd "
      "\\u2028\x7f\\u001b[0m\\n\",\"stream\":\"stdout\",";
  EXPECT_EQ(text->substr(0, expected.size()), expected);
}

TEST(Shim, SplitsLongLinesAt16K) {
  ShimUnderTest shim({}, [] {
    std::string line(40000, 'x');
    // A character of three bytes across the limit stays whole.
    std::string accents(16383, 'y');
    return Print(1, line + "\nshort\n" + accents + "\xe2\x82\xac" + "z\n");
  });
  shim.Finish();
  auto log = ReadLog(shim.log_dir() + "/log");
  ASSERT_EQ(log.size(), 6u);
  EXPECT_EQ(log[0].log, std::string(16384, 'x'));
  EXPECT_EQ(log[1].log, std::string(16384, 'x'));
  EXPECT_EQ(log[2].log, std::string(40000 - 2 * 16384, 'x') + "\n");
  EXPECT_EQ(log[0].time, log[2].time);
  EXPECT_EQ(log[3].log, "short\n");
  EXPECT_EQ(log[4].log, std::string(16383, 'y'));
  EXPECT_EQ(log[5].log, "\xe2\x82\xacz\n");
}

TEST(Shim, RotatesBySize) {
  ShimUnderTest shim({.log_size = 20000, .log_files = 3}, [] {
    for (int i = 0; i < 1000; ++i) {
      if (Print(1, Cat("line ", i, "\n")) != 0)
        return 1;
    }
    return 0;
  });
  shim.Finish();
  EXPECT_FALSE(PathExists(shim.log_dir() + "/log.3"));
  auto all = ReadLog(shim.log_dir() + "/log.2");
  for (const char* name : {"/log.1", "/log"}) {
    auto more = ReadLog(shim.log_dir() + name);
    all.insert(all.end(), more.begin(), more.end());
  }
  ASSERT_GT(all.size(), 400u);
  for (size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(all[i].log, Cat("line ", 1000 - all.size() + i, "\n"));
  for (const char* name : {"/log.2", "/log.1"}) {
    size_t size = ReadFile(shim.log_dir() + name)->size();
    EXPECT_GE(size, 20000u);
    EXPECT_LT(size, 20200u);
  }
}

TEST(Shim, OneFileIsTruncatedInstead) {
  ShimUnderTest shim({.log_size = 5000, .log_files = 1}, [] {
    for (int i = 0; i < 500; ++i)
      Print(1, Cat("line ", i, "\n"));
    return 0;
  });
  shim.Finish();
  EXPECT_FALSE(PathExists(shim.log_dir() + "/log.1"));
  auto log = ReadLog(shim.log_dir() + "/log");
  ASSERT_FALSE(log.empty());
  EXPECT_EQ(log.back().log, "line 499\n");
  EXPECT_LT(ReadFile(shim.log_dir() + "/log")->size(), 5200u);
}

TEST(Shim, ManyMegabytesArriveWhole) {
  constexpr int kLines = 300000;
  ShimUnderTest shim({}, [] {
    std::string block;
    for (int i = 0; i < kLines; ++i) {
      Append(block, "line number ", i,
             " with some text behind it to make it longer: abcdefghijklmnopqrstuvwxyz\n");
      if (block.size() > 100000 && Print(1, block) == 0)
        block.clear();
    }
    return Print(1, block);
  });
  shim.Finish(milliseconds(60000));
  auto log = ReadFile(shim.log_dir() + "/log", size_t{1} << 30);
  ASSERT_TRUE(log);
  int count = 0;
  for (std::string_view line : Split(*log, '\n')) {
    if (line.empty())
      continue;
    ASSERT_TRUE(line.starts_with(Cat("{\"log\":\"line number ", count, " with"))) << line;
    ++count;
  }
  EXPECT_EQ(count, kLines);
}

TEST(Shim, RecordsExitCodesAndSignals) {
  {
    ShimUnderTest shim({}, [] { return 42; });
    EXPECT_EQ(Json(shim.Finish())["code"].integer(), 42);
  }
  {
    ShimUnderTest shim({}, [] { return raise(SIGSEGV); });
    auto record = Json(shim.Finish());
    EXPECT_EQ(record["code"].integer(), 128 + SIGSEGV);
    EXPECT_EQ(record["signal"].integer(), SIGSEGV);
  }
  {
    ShimUnderTest shim({}, [] { return pause(); });
    kill(shim.init_pid(), SIGTERM);
    EXPECT_EQ(Json(shim.Finish())["code"].integer(), 143);
  }
}

TEST(Shim, NoLogWritesNoFile) {
  ShimUnderTest shim({.log = false}, [] { return Print(1, "x\n"); });
  shim.Finish();
  EXPECT_FALSE(PathExists(shim.log_dir() + "/log"));
}

TEST(Shim, OutlivesPoliteSignals) {
  ShimUnderTest shim({}, [] {
    pause();
    return 0;
  });
  auto client = shim.Connect();
  client.Send(kHello);
  ASSERT_TRUE(client.Next());
  for (int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE})
    kill(shim.pid(), number);
  client.Send(kHello);
  EXPECT_TRUE(client.Next());
  kill(shim.init_pid(), SIGKILL);
  EXPECT_EQ(Json(shim.Finish())["code"].integer(), 137);
}

TEST(Shim, GrandchildrenHoldTheOutputForTwoSeconds) {
  auto start = std::chrono::steady_clock::now();
  ShimUnderTest shim({}, [] {
    if (fork() == 0) {
      sleep(30);
      _exit(0);
    }
    return Print(1, "done\n");
  });
  shim.Finish();
  auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, milliseconds(1900));
  EXPECT_LT(took, milliseconds(4000));
  EXPECT_EQ(JoinLog(ReadLog(shim.log_dir() + "/log"), "stdout"), "done\n");
}

// Reads all input and repeats it, then says goodbye.
int Repeat() {
  char buffer[4096];
  ssize_t count;
  while ((count = read(0, buffer, sizeof buffer)) > 0)
    Print(1, std::string_view(buffer, static_cast<size_t>(count)));
  return Print(1, "bye\n");
}

TEST(Shim, InputArrivesAndEnds) {
  ShimUnderTest shim({.with_stdin = true}, Repeat);
  auto client = shim.Connect();
  client.Attach(kWantStdin | kWantStdout);
  client.Send(kStdin, "hello ");
  client.Send(kStdin, "there\n");
  EXPECT_EQ(client.CollectUntil(kStdout, "there\n"), "hello there\n");
  client.Send(kCloseStdin);
  EXPECT_EQ(client.Collect(kStdout), "bye\n");
  shim.Finish();
}

TEST(Shim, MuchInputIsHeldBackNotLost) {
  ShimUnderTest shim({.with_stdin = true}, Repeat);
  auto client = shim.Connect();
  client.Attach(kWantStdin | kWantStdout);
  std::string sent;
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    std::string block(20000, static_cast<char>('a' + i % 26));
    sent += std::string("\0\0\0\0\0\0\x4e\x20", 8) + block;
    expected += block;
  }
  // Writing and reading in turn: the container answers while input is still coming.
  std::string got;
  std::string_view left = sent;
  while (got.size() < expected.size()) {
    left.remove_prefix(client.TrySend(left));
    while (auto message = client.Next(milliseconds(20)))
      got += message->payload;
  }
  EXPECT_EQ(got, expected);
  client.Send(kCloseStdin);
  client.Collect(kStdout);
  shim.Finish();
}

TEST(Shim, StdinOnceEndsInputWithItsClient) {
  ShimUnderTest shim({.with_stdin = true, .stdin_once = true}, Repeat);
  {
    auto watcher = shim.Connect();
    watcher.Send(kHello);
    watcher.Next();
  }
  auto client = shim.Connect();
  client.Attach(kWantStdin);
  client.Send(kStdin, "text\n");
  client.Close();
  shim.Finish();
  EXPECT_EQ(JoinLog(ReadLog(shim.log_dir() + "/log"), "stdout"), "text\nbye\n");
}

TEST(Shim, WithoutStdinOnceInputStaysOpen) {
  ShimUnderTest shim({.with_stdin = true}, Repeat);
  for (const char* text : {"one\n", "two\n"}) {
    auto client = shim.Connect();
    client.Attach(kWantStdin | kWantStdout);
    client.Send(kStdin, text);
    client.CollectUntil(kStdout, text);
  }
  EXPECT_TRUE(shim.Running());
  shim.Connect().Send(kCloseStdin);
  shim.Finish();
}

TEST(Shim, InputNobodyReadsIsSwallowed) {
  ShimUnderTest shim({.with_stdin = true}, [] {
    close(0);
    Print(1, "closed\n");
    pause();
    return 0;
  });
  auto client = shim.Connect();
  client.Attach(kWantStdin | kWantStdout);
  for (int i = 0; i < 50; ++i)
    client.Send(kStdin, std::string(30000, 'x'));
  client.Send(kHello);
  while (auto message = client.Next()) {
    if (message->kind == kState)
      break;
  }
  EXPECT_TRUE(shim.Running());
  kill(shim.init_pid(), SIGKILL);
  shim.Finish();
}

TEST(Shim, Terminal) {
  ShimUnderTest shim({.tty = true}, [] {
    char line[100] = {};
    if (isatty(0) == 0 || isatty(1) == 0)
      return 1;
    Print(1, "ready\n");
    if (read(0, line, sizeof line) <= 0)
      return 2;
    winsize size{};
    ioctl(0, TIOCGWINSZ, &size);
    Print(2, Cat("size ", size.ws_row, "x", size.ws_col, " line ", line));
    return 7;
  });
  auto client = shim.Connect();
  client.Attach(kWantStdin | kWantStdout | kWantStderr);
  client.Send(kResize, std::string_view("\0\x21\0\x6f", 4));
  client.Send(kStdin, "typed\n");
  std::string text = client.Collect(kStdout);
  EXPECT_NE(text.find("size 33x111 line typed\r\n"), std::string::npos) << text;
  EXPECT_EQ(Json(shim.Finish())["code"].integer(), 7);
  auto log = ReadLog(shim.log_dir() + "/log");
  ASSERT_FALSE(log.empty());
  EXPECT_EQ(log[0].log.substr(log[0].log.size() - 2), "\r\n");
  EXPECT_EQ(JoinLog(log, "stderr"), "");
}

// True when `log` is the beginning of `output`, one note of missing bytes, and the end of `output`.
bool HasOneNotedHole(const std::vector<LogEntry>& log, const std::vector<std::string>& output) {
  size_t note = 0;
  while (note < log.size() && note < output.size() && log[note].log == output[note])
    ++note;
  size_t after = log.size() - note - 1;
  if (note == log.size() || note + after >= output.size() ||
      log[note].log.find("bytes of output are missing here") == std::string::npos) {
    return false;
  }
  for (size_t i = 0; i < after; ++i) {
    if (log[note + 1 + i].log != output[output.size() - after + i])
      return false;
  }
  return note > 0 && after > 0;
}

// In a private mount namespace: a log on a tiny file system that gets full and is then freed.
int FullDisk() {
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return 77;
  char dir[] = "/tmp/wherry-shim-full-XXXXXX";
  if (mkdtemp(dir) == nullptr || mount("tmpfs", dir, "tmpfs", 0, "size=256k") != 0)
    return 77;
  std::string ballast = Cat(dir, "/ballast");
  (void)ReplaceFile(ballast, std::string(150000, 'b'), 0600, Durability::kVolatile);
  int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(quiet, 2);
  std::vector<std::string> output;
  for (int i = 0; i < 3000; ++i)
    output.push_back(Cat("first ", i, "\n"));
  output.push_back("half\n");
  for (int i = 0; i < 10; ++i)
    output.push_back(Cat("second ", i, "\n"));
  ShimUnderTest shim({.with_stdin = true, .log_dir = dir}, [&output] {
    // A byte lets the first lines go, another one the rest.
    char byte;
    for (const auto& line : output) {
      if ((line == "first 0\n" || line == "second 0\n") && read(0, &byte, 1) != 1)
        return 1;
      Print(1, line);
    }
    return 0;
  });
  auto client = shim.Connect();
  client.Attach(kWantStdin | kWantStdout);
  client.Send(kStdin, "x");
  client.CollectUntil(kStdout, "half\n");
  if (unlink(ballast.c_str()) != 0)
    return 3;
  client.Send(kStdin, "x");
  client.Collect(kStdout);
  auto record = Json(shim.Finish());
  auto log = ReadLog(Cat(dir, "/log"));
  umount2(dir, MNT_DETACH);
  rmdir(dir);
  if (record["code"].integer(-1) != 0 || log.size() < 100)
    return 4;
  return HasOneNotedHole(log, output) ? 0 : 5;
}

// The value of `body`, run in a child of its own.
int InChild(int (*body)()) {
  pid_t child = fork();
  if (child == 0)
    _exit(testing::Test::HasFailure() ? 1 : body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Shim, AFullDiskCostsLinesNotTheContainer) {
  if (geteuid() != 0)
    GTEST_SKIP() << "run as root";
  int status = InChild(FullDisk);
  if (status == 77)
    GTEST_SKIP() << "cannot mount here";
  EXPECT_EQ(status, 0);
}

// In a private mount namespace with cgroup2: what init leaves behind is killed, and the cgroup
// goes.
int CgroupClean() {
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", "/sys/fs/cgroup", "cgroup2", 0, nullptr) != 0) {
    return 77;
  }
  std::string group = Cat("/sys/fs/cgroup/wherry-shim-test-", getpid());
  if (!MakeDirs(group + "/inner/deep", 0755))
    return 77;
  auto start = std::chrono::steady_clock::now();
  ShimUnderTest shim({.cgroup = group}, [] {
    for (int i = 0; i < 5; ++i) {
      if (fork() == 0) {
        setsid();
        pause();
      }
    }
    return Print(1, "done\n") + 3;
  });
  auto record = Json(shim.Finish());
  bool quick = std::chrono::steady_clock::now() - start < milliseconds(1500);
  bool gone = !PathExists(group);
  if (!gone)
    return 2;

  if (!MakeDirs(group, 0755))
    return 77;
  ShimUnderTest other({.cgroup = group}, [] {
    while (true)
      pause();
    return 0;
  });
  auto client = other.Connect();
  client.Send(kHello);
  client.Next();
  client.Send(kKillAll);
  auto exit = client.Next();
  other.Finish();
  bool killed = exit && exit->kind == kExit && Json(exit->payload)["code"].integer() == 137;
  return quick && killed && !PathExists(group) && record["code"].integer() == 3 ? 0 : 3;
}

TEST(Shim, KillsLeftOversAndRemovesTheCgroup) {
  if (geteuid() != 0)
    GTEST_SKIP() << "run as root";
  int status = InChild(CgroupClean);
  if (status == 77)
    GTEST_SKIP() << "no private cgroup2 mount here";
  EXPECT_EQ(status, 0);
}

// Where the memory controller is on cgroup v2: a container that takes more than it may have.
int OutOfMemory() {
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", "/sys/fs/cgroup", "cgroup2", 0, nullptr) != 0) {
    return 77;
  }
  std::string group = Cat("/sys/fs/cgroup/wherry-oom-test-", getpid());
  (void)WriteExisting("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
  if (!MakeDirs(group, 0755))
    return 77;
  (void)WriteExisting(group + "/memory.swap.max", "0");
  if (!WriteExisting(group + "/memory.max", "16777216")) {
    rmdir(group.c_str());
    return 77;
  }
  ShimUnderTest shim({.cgroup = group}, [] {
    for (int i = 0; i < 100; ++i) {
      auto* block = static_cast<volatile char*>(malloc(1 << 20));
      for (int at = 0; at < 1 << 20; at += 4096)
        block[at] = 1;
    }
    return 0;
  });
  auto record = Json(shim.Finish());
  return record["oom"].boolean() && record["signal"].integer() == SIGKILL && !PathExists(group) ? 0
                                                                                                : 2;
}

TEST(Shim, RecordsTheOutOfMemoryKill) {
  if (geteuid() != 0)
    GTEST_SKIP() << "run as root";
  int status = InChild(OutOfMemory);
  if (status == 77)
    GTEST_SKIP() << "no memory controller on cgroup v2 here";
  EXPECT_EQ(status, 0);
}

TEST(Shim, KillAllWithoutCgroupKillsInit) {
  ShimUnderTest shim({}, [] {
    while (true)
      pause();
    return 0;
  });
  auto client = shim.Connect();
  client.Send(kKillAll);
  auto exit = client.Next();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->kind, kExit);
  EXPECT_EQ(Json(shim.Finish())["code"].integer(), 137);
}

}  // namespace
}  // namespace wherry::shim
