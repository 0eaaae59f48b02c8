// Clients of wherry-shim: several at once, slow ones, the daemon's death and return, what it costs
// to wait.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "tests/unit/core/shim/shim_harness.h"

namespace wherry::shim {
namespace {

int Print(int fd, std::string_view text) {
  return WriteAll(fd, text, "out") ? 0 : 1;
}

// Waits for a line of input before it does anything, so that clients can attach first.
void AwaitGo() {
  char line[16];
  (void)!read(0, line, sizeof line);
}

TEST(ShimAttach, TwoClientsSeeTheSame) {
  ShimUnderTest shim({.with_stdin = true}, [] {
    AwaitGo();
    for (int i = 0; i < 5000; ++i)
      Print(i % 2 == 0 ? 1 : 2, Cat("line ", i, "\n"));
    return 5;
  });
  auto one = shim.Connect();
  auto two = shim.Connect();
  auto only_errors = shim.Connect();
  one.Attach(kWantStdin | kWantStdout | kWantStderr);
  two.Attach(kWantStdout | kWantStderr);
  only_errors.Attach(kWantStderr);
  one.Send(kStdin, "go\n");
  std::string outputs[3];
  std::string errors[3];
  TestClient* clients[] = {&one, &two, &only_errors};
  // Whoever has something: a client that is not read holds the others back.
  pollfd waiters[3];
  for (int i = 0; i < 3; ++i)
    waiters[i] = {clients[i]->fd(), POLLIN, 0};
  for (int open = 3; open > 0;) {
    ASSERT_GT(poll(waiters, 3, 10000), 0) << open << " clients were not told the end";
    for (int i = 0; i < 3; ++i) {
      if (waiters[i].revents == 0)
        continue;
      auto message = clients[i]->Next();
      ASSERT_TRUE(message);
      if (message->kind == kStdout)
        outputs[i] += message->payload;
      if (message->kind == kStderr)
        errors[i] += message->payload;
      if (message->kind == kExit) {
        --open;
        waiters[i].fd = -1;
        EXPECT_TRUE(clients[i]->AtEnd());
        clients[i]->Close();
      }
    }
  }
  EXPECT_EQ(outputs[0], outputs[1]);
  EXPECT_EQ(errors[0], errors[1]);
  EXPECT_EQ(errors[0], errors[2]);
  EXPECT_EQ(outputs[2], "");
  auto log = ReadLog(shim.log_dir() + "/log");
  EXPECT_EQ(JoinLog(log, "stdout"), outputs[0]);
  EXPECT_EQ(JoinLog(log, "stderr"), errors[0]);
  EXPECT_EQ(log.size(), 5000u);
  shim.Finish();
}

TEST(ShimAttach, OutputWaitsForTheFirstHello) {
  ShimUnderTest shim({.hello = false}, [] {
    Print(1, "first words\n");
    return 6;
  });
  usleep(300000);
  EXPECT_TRUE(shim.Running());
  auto attached = shim.Connect();
  attached.Attach(kWantStdout);
  usleep(100000);
  EXPECT_FALSE(PathExists(shim.log_dir() + "/log") && !ReadLog(shim.log_dir() + "/log").empty());
  // One that has not been accepted yet, and whose wish arrives together with the hello.
  auto late = shim.Connect();
  late.Send(kAttach, "\x02");
  auto watcher = shim.Connect();
  watcher.Send(kHello);
  EXPECT_EQ(attached.Collect(kStdout), "first words\n");
  EXPECT_EQ(late.Collect(kStdout), "first words\n");
  auto state = watcher.Next();
  ASSERT_TRUE(state);
  EXPECT_EQ(state->kind, kState);
  auto exit = watcher.Next();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->kind, kExit);
  attached.Close();
  late.Close();
  watcher.Close();
  shim.Finish();
}

TEST(ShimAttach, WithoutADaemonItGoesOnAfterTenSeconds) {
  ShimUnderTest shim({.hello = false}, [] { return Print(1, "x\n"); });
  auto start = std::chrono::steady_clock::now();
  shim.Finish(milliseconds(15000));
  auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GT(took, milliseconds(9000));
  EXPECT_LT(took, milliseconds(12000));
  EXPECT_EQ(ReadLog(shim.log_dir() + "/log").size(), 1u);
}

size_t LogSize(const ShimUnderTest& shim) {
  struct stat info{};
  return stat((shim.log_dir() + "/log").c_str(), &info) == 0 ? static_cast<size_t>(info.st_size)
                                                             : 0;
}

// Writes 8 MB in numbered lines.
int WriteMuch() {
  AwaitGo();
  std::string block;
  for (int i = 0; i < 100000; ++i) {
    Append(block, "number ", i, " ", std::string(64, '.'), "\n");
    if (block.size() > 50000 && Print(1, block) == 0)
      block.clear();
  }
  return Print(1, block);
}

TEST(ShimAttach, AClientThatNeverReadsHoldsBackAndLosesNothing) {
  ShimUnderTest shim({.with_stdin = true}, WriteMuch);
  auto stuck = shim.Connect();
  stuck.Attach(kWantStdout | kWantStdin);
  stuck.Send(kStdin, "go\n");
  // The container is held back, but watchers are served.
  auto watcher = shim.Connect();
  size_t size = 0;
  do {
    size = LogSize(shim);
    usleep(200000);
  } while (size == 0 || LogSize(shim) != size);
  EXPECT_LT(size, 4u << 20);
  EXPECT_TRUE(shim.Running());
  watcher.Send(kHello);
  auto state = watcher.Next();
  ASSERT_TRUE(state);
  EXPECT_EQ(state->kind, kState);
  EXPECT_EQ(state->payload, Cat("{\"version\":1,\"pid\":", shim.init_pid(), ",\"exited\":false}"));
  // Its death sets the container free.
  stuck.Close();
  auto exit = watcher.Next(milliseconds(30000));
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->kind, kExit);
  shim.Finish();
  auto log = ReadLog(shim.log_dir() + "/log");
  ASSERT_EQ(log.size(), 100000u);
  EXPECT_TRUE(log.back().log.starts_with("number 99999 "));
}

TEST(ShimAttach, AStuckClientDoesNotOutliveTheContainer) {
  ShimUnderTest shim({.with_stdin = true}, WriteMuch);
  auto stuck = shim.Connect();
  stuck.Attach(kWantStdout | kWantStdin);
  stuck.Send(kStdin, "go\n");
  usleep(500000);
  auto start = std::chrono::steady_clock::now();
  kill(shim.init_pid(), SIGKILL);
  shim.Finish();
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(4000));
  // All that the container got rid of is there, in order.
  auto log = ReadLog(shim.log_dir() + "/log");
  ASSERT_GT(log.size(), 100u);
  for (size_t i = 0; i + 1 < log.size(); ++i)
    ASSERT_TRUE(log[i].log.starts_with(Cat("number ", i, " ")));
}

TEST(ShimAttach, TheDaemonDiesAndComesBack) {
  ShimUnderTest shim({.with_stdin = true}, [] {
    AwaitGo();
    for (int i = 0; i < 200; ++i) {
      Print(1, Cat("tick ", i, "\n"));
      usleep(3000);
    }
    return 9;
  });
  {
    auto watcher = shim.Connect();
    auto attached = shim.Connect();
    watcher.Send(kHello);
    ASSERT_TRUE(watcher.Next());
    attached.Attach(kWantStdin | kWantStdout | kWantStderr);
    attached.Send(kStdin, "go\n");
    attached.CollectUntil(kStdout, "tick 5\n");
  }
  usleep(50000);
  auto daemon = shim.Connect();
  ASSERT_TRUE(daemon.connected());
  daemon.Send(kHello);
  auto state = daemon.Next();
  ASSERT_TRUE(state);
  EXPECT_NE(state->payload.find("\"exited\":false"), std::string::npos);
  auto exit = daemon.Next();
  ASSERT_TRUE(exit);
  ASSERT_EQ(exit->kind, kExit);
  // Whoever is told can read the record, and the socket is free for the next start.
  EXPECT_EQ(*ReadFile(shim.state_dir() + "/exit"), exit->payload + "\n");
  EXPECT_FALSE(PathExists(shim.socket_path()));
  daemon.Send(kHello);
  daemon.Close();
  shim.Finish();
  auto log = ReadLog(shim.log_dir() + "/log");
  ASSERT_EQ(log.size(), 200u);
  for (size_t i = 0; i < log.size(); ++i)
    EXPECT_EQ(log[i].log, Cat("tick ", i, "\n"));
}

TEST(ShimAttach, EndsWithoutAnybodyWatching) {
  ShimUnderTest shim({}, [] { return Print(1, "x\n") + 4; });
  auto start = std::chrono::steady_clock::now();
  EXPECT_NE(shim.Finish().find("\"code\":4"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(900));
}

TEST(ShimAttach, ASilentWatcherIsLeftAfterASecond) {
  ShimUnderTest shim({}, [] { return usleep(200000); });
  auto watcher = shim.Connect();
  ASSERT_TRUE(watcher.connected());
  auto start = std::chrono::steady_clock::now();
  shim.Finish();
  auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GT(took, milliseconds(900));
  EXPECT_LT(took, milliseconds(2500));
}

TEST(ShimAttach, ManyClientsAndNonsense) {
  ShimUnderTest shim({}, [] {
    pause();
    return 0;
  });
  std::vector<TestClient> clients;
  for (int i = 0; i < 30; ++i)
    clients.push_back(shim.Connect());
  // Too long a payload: the connection ends.
  clients[0].TrySend(std::string_view("\x10\0\0\0\xff\0\0\0", 8));
  EXPECT_TRUE(clients[0].AtEnd());
  // An unknown kind with a payload is passed over.
  clients[1].Send(static_cast<Kind>(200), std::string(3000, 'x'));
  clients[1].Send(kHello);
  ASSERT_TRUE(clients[1].Next());
  // A client that goes makes room for one that waits.
  for (size_t i = 0; i < 20; ++i)
    clients[i].Close();
  clients[29].Send(kHello);
  EXPECT_TRUE(clients[29].Next());
  // Half a header, then nothing.
  clients[28].TrySend("\x10\0");
  kill(shim.init_pid(), SIGKILL);
  shim.Finish();
}

TEST(ShimAttach, ReopensTheLog) {
  ShimUnderTest shim({.with_stdin = true}, [] {
    Print(1, "before\n");
    AwaitGo();
    return Print(1, "after\n");
  });
  auto client = shim.Connect();
  client.Attach(kWantStdin);
  while (LogSize(shim) == 0)
    usleep(1000);
  ASSERT_EQ(rename((shim.log_dir() + "/log").c_str(), (shim.log_dir() + "/moved").c_str()), 0);
  client.Send(kReopenLog);
  client.Send(kHello);
  while (client.Next()->kind != kState) {
  }
  client.Send(kStdin, "go\n");
  client.Collect(kStdout);
  shim.Finish();
  EXPECT_EQ(JoinLog(ReadLog(shim.log_dir() + "/moved"), "stdout"), "before\n");
  EXPECT_EQ(JoinLog(ReadLog(shim.log_dir() + "/log"), "stdout"), "after\n");
}

uint64_t StatusNumber(pid_t pid, const char* file, std::string_view key) {
  auto text = ReadFile(Cat("/proc/", pid, "/", file));
  for (std::string_view line : Split(*text, '\n')) {
    if (!line.starts_with(key))
      continue;
    std::string_view value = Trim(line.substr(key.size()));
    return *ParseUint(value.substr(0, value.find(' ')));
  }
  return UINT64_MAX;
}

TEST(ShimCost, StaysWithinItsBudget) {
  struct stat file{};
  ASSERT_EQ(stat(WHERRY_SHIM, &file), 0);
  EXPECT_LE(file.st_size, 40 * 1024);
  RecordProperty("file_bytes", static_cast<int>(file.st_size));
  ShimUnderTest shim({.with_stdin = true}, [] {
    for (int i = 0; i < 2000; ++i)
      Print(1, Cat("a line of ordinary length, number ", i, "\n"));
    pause();
    return 0;
  });
  auto watcher = shim.Connect();
  {
    auto client = shim.Connect();
    client.Attach(kWantStdin | kWantStdout | kWantStderr);
    client.Send(kStdin, "some input\n");
  }
  watcher.Send(kHello);
  ASSERT_TRUE(watcher.Next());
  usleep(300000);
  uint64_t before = StatusNumber(shim.pid(), "status", "voluntary_ctxt_switches:");
  uint64_t rss = StatusNumber(shim.pid(), "smaps_rollup", "Rss:");
  uint64_t dirty = StatusNumber(shim.pid(), "smaps_rollup", "Private_Dirty:");
  RecordProperty("rss_kb", static_cast<int>(rss));
  RecordProperty("private_dirty_kb", static_cast<int>(dirty));
  // Counted in pages: twice as much where pages are large.
  EXPECT_LE(rss, sysconf(_SC_PAGESIZE) == 4096 ? 60u : 160u);
  sleep(2);
  EXPECT_EQ(StatusNumber(shim.pid(), "status", "voluntary_ctxt_switches:"), before)
      << "woke up while idle";
  kill(shim.init_pid(), SIGKILL);
  watcher.Collect(kStdout);
  shim.Finish();
}

}  // namespace
}  // namespace wherry::shim
