#include "core/base/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <thread>

#include "core/base/scope.h"

namespace wherry {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

struct Pair {
  UniqueFd a, b;
};

Pair SocketPair() {
  int fds[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

class LoopTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loop = Loop::Create();
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    // A test that hangs fails instead.
    loop_->After(std::chrono::seconds(20), [this] {
      ADD_FAILURE() << "the loop was not stopped";
      loop_->Stop();
    });
  }
  void Run() { EXPECT_TRUE(loop_->Run()); }

  std::unique_ptr<Loop> loop_;
};

TEST_F(LoopTest, ReportsReadableAndHangUp) {
  Pair pair = SocketPair();
  std::vector<uint32_t> seen;
  ASSERT_TRUE(loop_->Add(pair.a.get(), EPOLLIN, [&](uint32_t events) {
    seen.push_back(events);
    char byte;
    if (read(pair.a.get(), &byte, 1) == 1) {
      pair.b.Reset();
    } else {
      loop_->Remove(pair.a.get());
      loop_->Stop();
    }
  }));
  ASSERT_EQ(write(pair.b.get(), "x", 1), 1);
  Run();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0], static_cast<uint32_t>(EPOLLIN));
  EXPECT_NE(seen[1] & EPOLLHUP, 0u);
}

TEST_F(LoopTest, CallbackMayRemoveItself) {
  Pair pair = SocketPair();
  auto witness = std::make_shared<int>(0);
  ASSERT_TRUE(loop_->Add(pair.a.get(), EPOLLIN, [this, witness, fd = pair.a.get()](uint32_t) {
    loop_->Remove(fd);
    ++*witness;  // the captures must still be there
    loop_->Post([this] { loop_->Stop(); });
  }));
  ASSERT_EQ(write(pair.b.get(), "x", 1), 1);
  Run();
  EXPECT_EQ(*witness, 1);
  EXPECT_EQ(witness.use_count(), 1);
}

TEST_F(LoopTest, RemovedDescriptorsGetNoFetchedEvents) {
  constexpr size_t kCount = 8;
  std::vector<Pair> pairs;
  int calls = 0;
  for (size_t i = 0; i < kCount; ++i) {
    pairs.push_back(SocketPair());
  }
  for (Pair& pair : pairs) {
    ASSERT_TRUE(loop_->Add(pair.a.get(), EPOLLIN, [&](uint32_t) {
      ++calls;
      for (Pair& other : pairs) {
        loop_->Remove(other.a.get());
        other.a.Reset();
      }
      loop_->Post([this] { loop_->Stop(); });
    }));
    ASSERT_EQ(write(pair.b.get(), "x", 1), 1);
  }
  Run();
  EXPECT_EQ(calls, 1);
}

TEST_F(LoopTest, ReusedNumberGetsNoOldEvents) {
  Pair first = SocketPair();
  Pair second = SocketPair();
  Pair fresh;
  int calls = 0;
  bool wrong = false;
  auto replace = [&](Pair& victim) {
    int number = victim.a.get();
    loop_->Remove(number);
    victim.a.Reset();
    fresh = SocketPair();
    if (fresh.a.get() != number) {
      ASSERT_EQ(dup3(fresh.a.get(), number, O_CLOEXEC), number);
      fresh.a.Reset(number);
    }
    ASSERT_TRUE(loop_->Add(number, EPOLLIN, [&](uint32_t) { wrong = true; }));
    loop_->Post([this] { loop_->Post([this] { loop_->Stop(); }); });
  };
  ASSERT_TRUE(loop_->Add(first.a.get(), EPOLLIN, [&](uint32_t) {
    if (++calls == 1) {
      replace(second);
    }
    loop_->Remove(first.a.get());
  }));
  ASSERT_TRUE(loop_->Add(second.a.get(), EPOLLIN, [&](uint32_t) {
    if (++calls == 1) {
      replace(first);
    }
    loop_->Remove(second.a.get());
  }));
  ASSERT_EQ(write(first.b.get(), "x", 1), 1);
  ASSERT_EQ(write(second.b.get(), "x", 1), 1);
  Run();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(wrong);
}

TEST_F(LoopTest, ModifyTurnsEventsOffAndOn) {
  Pair pair = SocketPair();
  int calls = 0;
  ASSERT_TRUE(loop_->Add(pair.a.get(), EPOLLIN, [&](uint32_t) {
    ++calls;
    if (calls == 1) {
      ASSERT_TRUE(loop_->Modify(pair.a.get(), 0));
      loop_->After(milliseconds(20), [&] { ASSERT_TRUE(loop_->Modify(pair.a.get(), EPOLLIN)); });
    } else {
      loop_->Stop();
    }
  }));
  ASSERT_EQ(write(pair.b.get(), "x", 1), 1);
  Run();
  EXPECT_EQ(calls, 2);
}

TEST_F(LoopTest, MisuseIsAnError) {
  EXPECT_EQ(loop_->Modify(12345, EPOLLIN).error().code(), Errc::kNotFound);
  EXPECT_FALSE(loop_->Add(-1, EPOLLIN, [](uint32_t) {}));
  Pair pair = SocketPair();
  EXPECT_TRUE(loop_->Add(pair.a.get(), EPOLLIN, [](uint32_t) {}));
  EXPECT_EQ(loop_->Add(pair.a.get(), EPOLLIN, [](uint32_t) {}).error().code(), Errc::kExists);
  loop_->Remove(12345);
}

TEST_F(LoopTest, TimersFireInOrder) {
  std::string order;
  loop_->After(milliseconds(30), [&] {
    order += 'c';
    loop_->Stop();
  });
  loop_->After(milliseconds(10), [&] { order += 'a'; });
  loop_->After(milliseconds(20), [&] { order += 'b'; });
  loop_->After(nanoseconds(-5), [&] { order += '0'; });
  Run();
  EXPECT_EQ(order, "0abc");
}

TEST_F(LoopTest, CancelledTimersStayQuiet) {
  bool fired = false;
  Loop::TimerId second = 0;
  Loop::TimerId first = loop_->After(milliseconds(5), [&] { fired = true; });
  loop_->Cancel(first);
  loop_->Cancel(first);
  loop_->Cancel(99999);
  loop_->After(milliseconds(10), [&] { loop_->Cancel(second); });
  second = loop_->After(milliseconds(10), [&] { fired = true; });
  loop_->After(milliseconds(20), [&] { loop_->Stop(); });
  Run();
  EXPECT_FALSE(fired);
}

TEST_F(LoopTest, ZeroTimersDoNotStarveTheRest) {
  int rounds = 0;
  std::move_only_function<void()> again = [&] {
    ++rounds;
    loop_->After(nanoseconds(0), [&] { again(); });
  };
  again();
  loop_->After(milliseconds(10), [&] { loop_->Stop(); });
  Run();
  EXPECT_GT(rounds, 1);
}

TEST_F(LoopTest, PostRunsLaterAndInOrder) {
  std::string order;
  loop_->Post([&] {
    order += 'a';
    loop_->Post([&] {
      order += 'c';
      loop_->Stop();
    });
    order += 'b';
  });
  EXPECT_EQ(order, "");
  Run();
  EXPECT_EQ(order, "abc");
}

TEST_F(LoopTest, PostFromManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 2000;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kPosts; ++j) {
        loop_->Post([&] {
          if (++count == kThreads * kPosts) {
            loop_->Stop();
          }
        });
      }
    });
  }
  Run();
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(count, kThreads * kPosts);
}

TEST_F(LoopTest, StopFromAnotherThread) {
  std::thread stopper([&] {
    std::this_thread::sleep_for(milliseconds(20));
    loop_->Stop();
  });
  Run();
  stopper.join();
}

TEST_F(LoopTest, StopBeforeRunAndRunAgain) {
  loop_->Stop();
  Run();
  int calls = 0;
  loop_->Post([&] {
    ++calls;
    loop_->Stop();
  });
  loop_->Post([&] { ++calls; });
  Run();
  EXPECT_EQ(calls, 1);  // stopped after the current callback
  loop_->Post([&] { loop_->Stop(); });
  Run();
  EXPECT_EQ(calls, 2);  // kept for the next Run
}

TEST_F(LoopTest, SignalsBecomeCallbacks) {
  sigset_t old;
  pthread_sigmask(SIG_SETMASK, nullptr, &old);
  ScopeExit restore([&] { pthread_sigmask(SIG_SETMASK, &old, nullptr); });
  std::vector<int> seen;
  ASSERT_TRUE(loop_->HandleSignals({SIGUSR1, SIGUSR2}, [&](int number) {
    seen.push_back(number);
    if (seen.size() == 2) {
      loop_->Stop();
    }
  }));
  EXPECT_FALSE(loop_->HandleSignals({SIGTERM}, [](int) {}));
  raise(SIGUSR1);
  raise(SIGUSR2);
  Run();
  EXPECT_EQ(seen, (std::vector<int>{SIGUSR1, SIGUSR2}));
}

TEST(Loop, DestructionRunsDestructorsThatCallBack) {
  auto loop = std::move(*Loop::Create());
  Pair pair = SocketPair();
  Loop* raw = loop.get();
  auto owner = [raw](int fd) {
    return std::shared_ptr<void>(nullptr, [raw, fd](void*) {
      raw->Remove(fd);
      raw->Cancel(1);
      raw->Post([] {});
    });
  };
  ASSERT_TRUE(loop->Add(pair.a.get(), EPOLLIN, [keep = owner(pair.a.get())](uint32_t) {}));
  ASSERT_TRUE(loop->Add(pair.b.get(), EPOLLIN, [keep = owner(pair.a.get())](uint32_t) {}));
  loop->After(std::chrono::hours(1), [keep = owner(pair.b.get())] {});
  loop->Post([keep = owner(pair.b.get())] {});
  loop.reset();
}

}  // namespace
}  // namespace wherry
